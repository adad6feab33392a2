"""What rules and the trained reader say of a message together.

The reader alone decides where it is sure. Where a rule fired, less is enough; where a rule fired and the reader is
nearly certain that the message is work, the rule has misread it. A facility's own words always hold, unless the
reader sees a danger to life. The thresholds lie with the weights (`classifier.toml`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from guardrails._dialogue import Dialogue
from guardrails._matching import Hit
from guardrails._types import Category

if TYPE_CHECKING:
    from guardrails._classifier import Classifier, Opinion

POINTER = "classifier.distress"
"""The name under which a hard day of the writer's own, without danger, stands in a verdict."""

_DANGER = (Category.FIRST_PERSON_CRISIS, Category.THIRD_PERSON_EMERGENCY)
_LEARNT = (
    *_DANGER,
    Category.METHOD_SEEKING,
    Category.PROMPT_INJECTION,
    Category.PATIENT_IDENTIFIER,
    Category.DEVICE_BOUNDARY,
)


class Ruled(NamedTuple):
    """What the rules alone say of a message: category, how sure (0 to 1), the hits behind it, and of the dialogue since
    a misunderstanding was last cleared up, the message last: which messages merely ask again (`again`), whether one of
    them has a sign of danger (`signs`), and whether an earlier one is a disclosure (`disclosed`)."""

    category: Category
    score: float
    hits: Sequence[Hit]
    again: Sequence[bool] = (False,)
    signs: bool = False
    disclosed: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A category, how sure the screen is of it (0 to 1), and the names and words behind it."""

    category: Category
    score: float
    rules: tuple[str, ...]
    matched: tuple[str, ...]


def weigh(ruled: Ruled, text: str, history: Sequence[str], reader: "Classifier") -> Judgement:
    """The judgement on a message of which the rules say `ruled`."""
    if not text.strip():
        return _by_rules(ruled)
    own = any(hit.rule.id.startswith("facility.") for hit in ruled.hits)
    if own and ruled.category == Category.FIRST_PERSON_CRISIS:
        return _by_rules(ruled)
    standing = len(ruled.again) - 1
    dialogue = Dialogue(text, history[len(history) - standing :], reader, again=ruled.again, disclosed=ruled.disclosed)
    opinion = dialogue.opinion()
    reached = _reached(ruled.category, opinion, reader.thresholds)
    alarmed = any(one in _DANGER for one in reached)
    # an alarm that nothing said by itself supports comes of the repetition; whoever insists is not heard less for it
    if dialogue.insists() if not alarmed else not (ruled.signs or dialogue.shows_a_sign()):
        opinion = dialogue.alone
        reached = _reached(ruled.category, opinion, reader.thresholds)
    dangers = [one for one in reached if one in _DANGER]
    if own and not dangers:
        return _by_rules(ruled)
    if reached:
        return _by_reader(max(dangers or reached, key=lambda one: opinion.likely.get(one, 0.0)), opinion, ruled)
    if dialogue.insists() or opinion.likely["distress"] >= reader.thresholds["distress"]:
        return Judgement(Category.BENIGN, round(opinion.likely["distress"], 3), (POINTER,), (opinion.words,))
    return _quiet(ruled, opinion)


def _reached(by_rules: Category, opinion: "Opinion", thresholds: Mapping[str, float]) -> list[Category]:
    """The guarded categories that are likely enough; one that a rule found too needs less."""
    likely = opinion.likely
    least = thresholds["long_message"] if opinion.long else 0.0  # of many windows, one is soon a little alarming

    def threshold(one: Category) -> float:
        if by_rules == one:
            return thresholds[f"{one.value}_with_rule"]
        if opinion.long and one not in _DANGER:
            return 2.0  # a pasted document is full of orders and examples: only rules refuse it
        return max(thresholds[one.value], least)

    found = [one for one in _LEARNT if likely.get(one, 0.0) >= threshold(one)]
    if by_rules == Category.FIRST_PERSON_CRISIS and likely["distress"] >= thresholds["distress_with_rule"]:
        found.append(by_rules)  # the reader agrees that the writer speaks of themself; the rule knows how far it goes
    if not found and sum(likely[one] for one in _DANGER) >= max(thresholds["either_danger"], least):
        return list(_DANGER)  # certainly an alarm, only not clear whose life it is about
    return found


def _quiet(ruled: Ruled, opinion: "Opinion") -> Judgement:
    if ruled.category == Category.CLINICAL_DISCUSSION:
        return _by_rules(ruled)
    clinical, benign = opinion.likely["clinical_discussion"], opinion.likely["benign"]
    category = Category.CLINICAL_DISCUSSION if clinical > benign else Category.BENIGN
    return Judgement(category, round(max(clinical, benign), 3), (), ())


def _by_rules(ruled: Ruled) -> Judgement:
    return Judgement(
        ruled.category,
        round(ruled.score, 3),
        tuple(dict.fromkeys(hit.rule.id for hit in ruled.hits)),
        tuple(dict.fromkeys(hit.words for hit in ruled.hits)),
    )


def _by_reader(chosen: Category, opinion: "Opinion", ruled: Ruled) -> Judgement:
    agreeing = _by_rules(ruled) if ruled.category == chosen else Judgement(chosen, 0.0, (), ())
    return Judgement(
        chosen,
        round(max(opinion.likely.get(chosen, 0.0), agreeing.score), 3),
        (*agreeing.rules, f"classifier.{chosen.value}"),
        agreeing.matched or (opinion.words,),
    )
