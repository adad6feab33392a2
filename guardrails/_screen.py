"""The screen of what a person types. It fails closed: whatever goes wrong, the message is treated as a crisis.

A message is read twice: by rules (`_matching`) and by a trained reader (`_classifier`). `by_rules` weighs what the
rules found over the message and the dialogue; `_weighing` weighs that together with what the classifier thinks.
"""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from guardrails._language import stop_word_language
from guardrails._matching import Hit, Reading, read
from guardrails._phrases import without_exceptions
from guardrails._rules import RuleSet, rule_set
from guardrails._text import shortened
from guardrails._types import Action, Category, Verdict
from guardrails._weighing import POINTER, Judgement, Ruled, weigh

if TYPE_CHECKING:
    from guardrails._classifier import Classifier

_log = logging.getLogger(__name__)

ACTIONS = {
    Category.FIRST_PERSON_CRISIS: Action.REDIRECT,
    Category.THIRD_PERSON_EMERGENCY: Action.ALARM,
    Category.METHOD_SEEKING: Action.REFUSE,
    Category.PROMPT_INJECTION: Action.REFUSE,
    Category.PATIENT_IDENTIFIER: Action.WARN,
    Category.DEVICE_BOUNDARY: Action.WARN,
    Category.CLINICAL_DISCUSSION: Action.ALLOW,
    Category.BENIGN: Action.ALLOW,
    Category.UNSCREENED: Action.REDIRECT,
}
HEAVIEST_FIRST = (
    Category.FIRST_PERSON_CRISIS,
    Category.THIRD_PERSON_EMERGENCY,
    Category.METHOD_SEEKING,
    Category.PROMPT_INJECTION,
    Category.PATIENT_IDENTIFIER,
    Category.DEVICE_BOUNDARY,
    Category.CLINICAL_DISCUSSION,
)
WEAK_THRESHOLD = 0.9  # the sum of soft signs, one a group, at which a message counts as a crisis
WEAK_AFTER_DISCLOSURE = 0.25
HISTORY_TEXTS = 12
HISTORY_CHARACTERS = 4_000  # of each earlier message, so that a long dialogue stays quick
NO_RULES = "none"


def screen_input(text: str, *, language: str | None = None, history: Sequence[str] = ()) -> Verdict:
    """Judges a message before anything else happens to it.

    `history` holds the same person's earlier messages of the dialogue, oldest first. `language` is only passed on to
    the verdict; where it is None it is guessed. Never raises: where the screen itself fails, the verdict is
    UNSCREENED, whose action is REDIRECT.
    """
    started = time.perf_counter()
    rules_id = NO_RULES
    try:
        rules = rule_set()
        rules_id = rules.id
        judgement = judge(text, history, rules)
        return Verdict(
            category=judgement.category,
            action=Action.WARN if POINTER in judgement.rules else ACTIONS[judgement.category],
            score=judgement.score,
            rules=judgement.rules,
            matched=judgement.matched,
            rule_set=rules_id,
            language=language or stop_word_language(text) or "en",
            milliseconds=round((time.perf_counter() - started) * 1000, 3),
        )
    except Exception as error:  # fails closed: no fault of ours may let a message through unread
        _log.error("The crisis screen failed (%s); the message is treated as a crisis.", type(error).__name__)
        return Verdict(
            category=Category.UNSCREENED,
            action=ACTIONS[Category.UNSCREENED],
            score=1.0,
            rules=("screen.failed",),
            matched=(),
            rule_set=rules_id,
            language=language or "en",
            milliseconds=round((time.perf_counter() - started) * 1000, 3),
        )


def prepare() -> None:
    """Loads the rules and the classifier (half a second), so that the first message of the day need not wait. Never
    raises: what cannot be loaded now is tried again, and fails closed, at every message."""
    verdict = screen_input("ready")
    if verdict.category is Category.UNSCREENED:
        _log.error("The crisis screen cannot be loaded: every message gets the card of help lines until it can.")


def judge(text: str, history: Sequence[str], rules: RuleSet, reader: "Classifier | None" = None) -> Judgement:
    """What rules and the classifier (`reader`; None: the shipped one) together make of a message."""
    text = without_exceptions(text, rules.exceptions, rules.lexicon)
    history = [without_exceptions(item, rules.exceptions, rules.lexicon) for item in history[-HISTORY_TEXTS:]]
    if reader is None:
        from guardrails._classifier import classifier  # brings numpy: nothing that only imports guardrails needs it

        reader = classifier()
    return weigh(by_rules(text, history, rules), text, history, reader)


def by_rules(text: str, history: Sequence[str], rules: RuleSet) -> Ruled:
    """What the rules alone say: category, score and the hits behind it."""
    earlier = [read(shortened(item, HISTORY_CHARACTERS, "\n"), rules, "") for item in history[-HISTORY_TEXTS:]]
    dialogue = " ".join(reading.whole for reading in earlier)
    reading = read(text, rules, dialogue)
    disclosed = _disclosed(earlier)
    standing = _standing([*earlier, reading])
    again = [rules.again.fullmatch(one.whole) is not None for one in standing]
    of_dialogue = (again, any(map(_has_a_sign, standing)), disclosed)
    crisis = reading.of(Category.FIRST_PERSON_CRISIS)
    if not crisis:
        crisis = _soft_signs(reading, earlier, disclosed)
    if not crisis and disclosed and not reading.of("release"):
        crisis = reading.of("retraction")
    if crisis:
        urgent = reading.of(Category.THIRD_PERSON_EMERGENCY)
        return Ruled(Category.FIRST_PERSON_CRISIS, _combined(crisis), [*crisis, *urgent], *of_dialogue)
    for category in HEAVIEST_FIRST[1:]:
        hits = reading.of(category)
        if hits:
            return Ruled(category, _combined(hits), hits, *of_dialogue)
    return Ruled(Category.BENIGN, 0.0, [], *of_dialogue)


def _standing(dialogue: Sequence[Reading]) -> Sequence[Reading]:
    """The messages that still count: those since a misunderstanding was last cleared up, and always the last one."""
    cleared_up = max((place for place, reading in enumerate(dialogue) if reading.of("release")), default=-1)
    return dialogue[cleared_up + 1 :] or dialogue[-1:]


def _has_a_sign(reading: Reading) -> bool:
    danger = reading.of(Category.FIRST_PERSON_CRISIS) or reading.of(Category.THIRD_PERSON_EMERGENCY)
    return bool(danger or reading.weak())


def _disclosed(earlier: Sequence[Reading]) -> bool:
    """Whether the person has disclosed a crisis and has not made clear that it was about somebody else."""
    disclosed = False
    for reading in earlier:
        if reading.of(Category.FIRST_PERSON_CRISIS) or sum(reading.weak().values()) >= WEAK_THRESHOLD:
            disclosed = True
        elif reading.of("release"):
            disclosed = False
    return disclosed


def _soft_signs(reading: Reading, earlier: Sequence[Reading], disclosed: bool) -> list[Hit]:
    """Soft signs of this message, where they weigh enough together with those of the dialogue."""
    own = reading.weak()
    if not own or reading.of("release"):
        return []
    groups = dict(own)
    for before in earlier:
        for group, weight in before.weak().items():
            groups[group] = max(groups.get(group, 0.0), weight)
    threshold = WEAK_AFTER_DISCLOSURE if disclosed else WEAK_THRESHOLD
    return [hit for hit in reading.hits if hit.rule.weak] if sum(groups.values()) >= threshold else []


def _combined(hits: Sequence[Hit]) -> float:
    doubt = 1.0
    for hit in {hit.rule.id: hit for hit in hits}.values():
        doubt *= 1.0 - hit.rule.score
    return min(1.0, 1.0 - doubt)
