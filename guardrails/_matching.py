"""Reading a message with rules: the rules that a sentence's words can wake are tried on it, and each match is judged by
what stands around it (who speaks about whom, negation, quotation, reported speech, tense, clinical framing)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from guardrails._normalise import Segment, Token, clean, quoted, segment, tokenise
from guardrails._rules import Rule, RuleSet


@dataclass(slots=True)
class Hit:
    """A rule that fired and the words that it matched."""

    rule: Rule
    words: str


@dataclass(slots=True)
class Reading:
    """A message taken apart, and what its rules found."""

    cleaned: str
    tokens: list[Token]
    segments: list[Segment]
    hits: list[Hit] = field(default_factory=list)
    whole: str = ""
    _quoted: list[bool] | None = None
    _transcript: list[bool] | None = None

    def quoted(self) -> list[bool]:
        """For each token, whether it stands in quotation marks."""
        if self._quoted is None:
            self._quoted = quoted(self.tokens)
        return self._quoted

    def transcript(self) -> list[bool]:
        """For each token, whether its line is what somebody else is noted as saying ("Pt: …")."""
        if self._transcript is None:
            self._transcript = _transcript(self.tokens)
        return self._transcript

    def of(self, category: str) -> list[Hit]:
        """The hits of a category that are not merely soft signs."""
        return [hit for hit in self.hits if hit.rule.category == category and not hit.rule.weak]

    def weak(self) -> dict[str, float]:
        """The heaviest soft sign of each group."""
        groups: dict[str, float] = {}
        for hit in self.hits:
            if hit.rule.weak:
                groups[hit.rule.weak] = max(groups.get(hit.rule.weak, 0.0), hit.rule.score)
        return groups


def read(text: str, rules: RuleSet, dialogue: str, *, of_answer: bool = False) -> Reading:
    """Takes a message apart and tries the rules on it. `dialogue` is the canonical text of earlier messages; with
    `of_answer` the text is a model's, and only the rules for answers are tried."""
    cleaned = clean(text)
    tokens = tokenise(cleaned, rules.lexicon)
    reading = Reading(cleaned, tokens, segment(cleaned, tokens))
    reading.whole = " " + " ".join(token.text for token in tokens).replace("\n", ".") + " "
    fired: set[int] = set()
    for number, part in enumerate(reading.segments):
        for candidate in sorted(_awake(part, rules) - fired):
            rule = rules.rules[candidate]
            if (rule.category == "output") != of_answer:
                continue
            words = next(_matches(rule, reading, number, rules, dialogue), None)
            if words is not None:
                reading.hits.append(Hit(rule, words))
                fired.add(candidate)
    return reading


def _awake(part: Segment, rules: RuleSet) -> set[int]:
    """The rules that the words of a sentence can wake."""
    found: set[int] = set()
    for token in {token.text for token in part.tokens}:
        for length in rules.prefix_lengths:
            if length > len(token):
                break
            found.update(rules.index.get(token[:length], ()))
    for number in rules.raw:
        if any(word in part.raw for word in rules.rules[number].words):
            found.add(number)
    return found


def _matches(rule: Rule, reading: Reading, number: int, rules: RuleSet, dialogue: str) -> Iterator[str]:
    """The words of each match of a rule in a sentence that the context does not disarm."""
    part = reading.segments[number]
    for match in rule.pattern.finditer(part.raw if rule.raw else part.text):
        place = (reading, number, dialogue)
        if not all(any(_context(name, rules, place, match, rule.raw) for name in group) for group in rule.needs):
            continue
        if any(_context(name, rules, place, match, rule.raw) for name in rule.unless):
            continue
        yield match[0] if rule.raw else _original(reading, part, match.start(), match.end())


def _original(reading: Reading, part: Segment, start: int, end: int) -> str:
    touched = [token for token, at in zip(part.tokens, part.offsets, strict=True) if start <= at < end]
    return reading.cleaned[touched[0].start : touched[-1].end] if touched else ""


def _context(name: str, rules: RuleSet, where: tuple[Reading, int, str], match: re.Match[str], raw: bool) -> bool:
    """Whether the context called `name` holds for a match."""
    reading, number, dialogue = where
    part = reading.segments[number]
    if name.startswith("@"):
        return not raw and _STRUCTURES[name](reading, part, _token_index(part, match.start()), rules)
    context = rules.contexts[name]
    search = context.pattern.search
    text = " " + part.raw + " " if raw else part.text
    start, end = (match.start() + 1, match.end() + 1) if raw else (match.start(), match.end())
    if context.scope in {"before", "just_before"}:
        places = [text[:start]]
    elif context.scope in {"after", "just_after"}:
        places = [" " + text[end:].lstrip()]
    elif context.scope == "segment":
        places = [text]
    elif context.scope == "near":
        places = [other.text for other in reading.segments[max(0, number - 1) : number + 2]]
    else:
        places = [reading.whole, dialogue] if context.scope == "dialogue" else [reading.whole]
    return any(search(place) for place in places)


def _token_index(part: Segment, start: int) -> int:
    index = sum(1 for offset in part.offsets if offset <= start) - 1
    return part.first + max(0, index)


def _is_transcript(reading: Reading, part: Segment, index: int, rules: RuleSet) -> bool:
    return reading.transcript()[index]


def _is_quoted(reading: Reading, part: Segment, index: int, rules: RuleSet) -> bool:
    """Whether the words are quoted as somebody else's: the nearest attribution before the quotation decides, then
    one right after it, then whether the message speaks of another person or of wording at all."""
    if not reading.quoted()[index]:
        return False
    opening = index
    while opening > 0 and reading.quoted()[opening - 1]:
        opening -= 1
    closing = index
    while closing + 1 < len(reading.tokens) and reading.quoted()[closing + 1]:
        closing += 1
    before = _joined(reading.tokens[max(0, opening - 14) : max(0, opening - 1)])
    own = _last(rules.contexts["own_words"].pattern, before)
    others = _last(rules.contexts["others_words"].pattern, before)
    if own >= 0 or others >= 0:
        return others >= own
    after = _joined(reading.tokens[closing + 2 : closing + 10])
    if rules.contexts["others_words"].pattern.search(after):
        return True
    return rules.contexts["other_person"].pattern.search(reading.whole) is not None


def _joined(tokens: Sequence[Token]) -> str:
    return " " + " ".join(token.text for token in tokens).replace("\n", ".") + " "


def _last(pattern: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in pattern.finditer(text)), default=-1)


_SPEAKERS = frozenset(
    [
        "patient",
        "patiente",
        "client",
        "cliente",
        "p",
        "pt",
        "pte",
        "usager",
        "resident",
        "residente",
        "mother",
        "father",
        "mere",
        "pere",
        "daughter",
        "son",
        "fille",
        "fils",
        "caller",
        "appelant",
        "verbatim",
        "citation",
        "quote",
        "transcript",
        "vignette",
    ]
)
_OWN = frozenset(["moi", "me", "myself"])


def _transcript(tokens: Sequence[Token]) -> list[bool]:
    """Marks the lines that begin with another speaker's name and a colon."""
    marked = [False] * len(tokens)
    speaking = False
    begins = True
    for index, (token, following) in enumerate(pairwise([*tokens, Token("", 0, 0), Token("", 0, 0)])):
        if index >= len(tokens):
            break
        if begins:
            after = tokens[index + 2].text if index + 2 < len(tokens) else ""
            speaking = token.text in _SPEAKERS and following.text == ":" and after not in _OWN
        marked[index] = speaking
        begins = token.text == "\n"
        speaking = speaking and not begins
    return marked


_STRUCTURES = {"@quoted": _is_quoted, "@transcript": _is_transcript}
