"""The screen of what a model says: text is withheld until a sentence is complete, checked, and only then shown.

Everything is decided from the text alone, never from how it arrived, so any chunking of an answer shows the same.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence

from guardrails._citations import bind
from guardrails._errors import RuleError
from guardrails._grounding import Compare, Evidence, passage_reader
from guardrails._hotlines import directory, output_sentence
from guardrails._markup import MarkupFilter
from guardrails._matching import read
from guardrails._meaning import Embed, sentence_encoder
from guardrails._places import places
from guardrails._rules import RuleSet, rule_set
from guardrails._sentences import boundary
from guardrails._types import GroundedAnswer, Notice, SourcePassage

logger = logging.getLogger(__name__)

# numbers written as people write telephone numbers: with a country code, in pairs, in the American or free-phone way
_PHONE = re.compile(
    r"(?<![\w.,/-])(?:\(?\+|00)\d{1,3}\)?(?:[ .\u00a0\u202f-]?\(?\d{1,4}\)?){2,6}(?![\w/])"
    r"|(?<![\w.,/-])0\d(?:[ .\u00a0\u202f-]?\d{2}){4}(?![\w/])"
    r"|(?<![\w.,/-])0[ .\u00a0\u202f-]?[89]\d\d(?:[ .\u00a0\u202f-]?\d{2,3}){2,3}(?![\w/])"
    r"|(?<![\w.,/-])0\d{2,4}[ .\u00a0\u202f-]\d{2,4}(?:[ .\u00a0\u202f-]\d{2,4}){0,2}(?![\w/])"
    r"|(?<![\w.,/-])(?:1[ .-])?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w/])"
    r"|(?<![\w.,/-])1[ .-]?8\d\d[ .-][\dA-Z]{3}[ .-]?[\dA-Z]{2,5}(?![\w/])"
)
_SHORT = re.compile(r"(?<![\w.,/+%€$£-])\d(?:[ .\u00a0\u202f/_–-]?\d){1,14}(?![\w/%€$£])(?![.,]\d)")
_DIGITS = {
    word: str(number)
    for number, words in enumerate(
        [
            "zero oh zéro",
            "one un",
            "two deux",
            "three trois",
            "four quatre",
            "five cinq",
            "six",
            "seven sept",
            "eight huit",
            "nine neuf",
        ]
    )
    for word in words.split()
}
_TWO_DIGITS = (
    "dix|onze|douze|treize|quatorze|quinze|seize|vingt|trente|quarante|cinquante|soixante|septante"
    "|quatre-vingts?|nonante|ten|"
    "eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|double|triple"
)
_ONE_WORD = f"(?:{'|'.join(_DIGITS)}|{_TWO_DIGITS})"
_SPELLED = re.compile(rf"\b{_ONE_WORD}(?:[ ,.\u00a0-]{{1,2}}(?:et[ -])?{_ONE_WORD}){{3,24}}\b", re.IGNORECASE)
_CALL_BEFORE = re.compile(
    r"(?:call(?:ing)?|dial(?:l?ing)?|phone|ring(?:ing)?|text(?:ing)?|hot ?line|help ?line|lifeline|line|number|"
    r"tel\.?|telephone|"
    r"appel(?:ez|er|le|ant)?|compos(?:ez|er)|t[ée]l[ée]phon(?:e|ez|er)|joign(?:ez|able)|contact(?:ez|er)?"
    r"|num[ée]ro|ligne|sms|"
    r"envoyez|joindre)\b[^.!?\n\d]{0,40}$",
    re.IGNORECASE,
)
_MEASURE_AFTER = re.compile(
    r"^[ \u00a0\u202f]*(?:mg|g|kg|ml|µg|mcg|%|ans?\b|years?|mois|months?|jours?|days?|weeks?|semaines?|hours?|heures?|"
    r"h\b|"
    r"minutes?|min\b|patients?|personnes?|people|times|fois|participants|studies|pages?|steps|[ée]tapes|points?"
    r"|items?|lines?|calls?|appels?)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:h[tx]{2}ps?://|www\.)[^\s<>()\[\]\"']{2,200}"
    r"|[\w.+-]{1,64} ?[(\[] ?(?:at|arobase) ?[)\]] ?[\w.-]{1,64}(?: ?[(\[] ?(?:dot|point) ?[)\]] ?\w{2,20})?|"
    r"\b[\w.+-]{1,64} (?:at|arobase) [\w-]{1,64} (?:dot|point) [a-z]{2,10}\b|"
    r"(?<![\w@./-])(?:[a-z0-9-]{1,63}\.){1,4}(?:org|com|net|fr|uk|eu|info|io|ch|be|ca|us|help|health|app"
    r"|example|gov|edu|int|de|es|it)\b(?:/[^\s<>()\[\]]{0,200})?|"
    r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}",
    re.IGNORECASE,
)


def _digit(character: str) -> str:
    """A digit on a disc or of another script as a plain one."""
    digit = unicodedata.digit(character, None) if character.isdigit() else None
    return character if digit is None or character in "⁰¹²³⁴⁵⁶⁷⁸⁹" else str(digit)


class OutputScreen:
    """Screens one answer as it streams.

    `feed` returns the text that may be shown now, `finish` the rest with what was found. After `stopped` is True the
    caller must stop the generation and show the card: nothing more comes out. `passages` are what the answer may
    stand on; `hotline_numbers` the numbers that may be named (None: those of the directory); `embed` tells what
    sentences mean (`sentence_encoder`; None: words alone decide what supports a sentence), `compare` what a passage
    says of a sentence (`passage_reader`; None: words and meaning decide).
    """

    def __init__(
        self,
        passages: Sequence[SourcePassage],
        *,
        language: str,
        hotline_numbers: Iterable[str] | None = None,
        embed: Embed | None = None,
        compare: Compare | None = None,
    ) -> None:
        self._language = language
        self._rules: RuleSet = rule_set()  # raises RuleError before anything is shown
        self._evidence = Evidence(passages, embed, compare)
        numbers, self._hosts = directory()
        if hotline_numbers is not None:
            numbers = frozenset(re.sub(r"\D", "", number) for number in hotline_numbers)
        self._numbers = numbers
        self._pointer = output_sentence("pointer", language)
        self._markup = MarkupFilter()
        self._pending = ""
        self._shown: list[str] = []
        self._markers: list[int] = []
        self._notices: dict[str, Notice] = {}
        self._checked = 0
        self._supported = 0
        self._fenced = False
        self._before = ""
        self._lines = False  # whether a line of help stands in this sentence: the directory is its source
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether the answer said something that must not be shown."""
        return self._stopped

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the screen removed or stopped so far."""
        return tuple(self._notices.values())

    def prepare(self) -> None:
        """Reads the passages with the encoder, which takes a moment: worth doing while the model reads its prompt. May
        run in a thread beside `feed`."""
        self._evidence.prepare()

    def resting_places(self, said: Sequence[str], passage: str) -> tuple[tuple[int, int], ...]:
        """`guardrails.resting_places` for sentences of this answer, which are not encoded a second time."""
        return places(said, passage, self._evidence.meaning)

    def feed(self, text: str) -> str:
        """Takes the next piece of the answer; returns what may be shown, which may be nothing."""
        if self._stopped:
            return ""
        self._pending += self._markup.feed(text)
        return self._release(final=False)

    def finish(self) -> GroundedAnswer:
        """Ends the answer and returns the rest of it with its citations and its groundedness."""
        tail = ""
        if not self._stopped:
            self._pending += self._markup.finish()
            tail = self._release(final=True)
        return GroundedAnswer(
            tail=tail,
            text="".join(self._shown),
            markers=tuple(dict.fromkeys(self._markers)),
            groundedness=self._supported / self._checked if self._checked else None,
            notices=self.notices,
        )

    def _release(self, *, final: bool) -> str:
        released: list[str] = []
        while self._pending and not self._stopped:
            end = boundary(self._pending, final=final)
            if end is None:
                break
            unit, self._pending = self._pending[:end], self._pending[end:]
            released.append(self._screen(unit))
        text = "".join(released)
        self._shown.append(text)
        return text

    def _screen(self, unit: str) -> str:
        """One sentence, screened; empty where it stops the answer."""
        if not unit.strip():
            return unit
        harm = self._harm(unit)
        if harm is not None:
            self._stopped = True
            self._notices[harm] = Notice(harm, output_sentence("stopped", self._language))
            return ""
        self._lines = False
        unit = self._without_strangers(unit)
        if unit.lstrip().startswith("```"):
            self._fenced = not self._fenced
            return unit
        bound = bind(unit, self._evidence, verbatim=self._fenced, of_help=self._lines)
        if bound.dropped:
            self._notice("output.unknown_citation", "citation")
        self._markers.extend(bound.markers)
        self._checked += bound.checked
        self._supported += bound.supported
        return bound.text

    def _harm(self, unit: str) -> str | None:
        """The rule that a sentence breaks, read with the sentence before it, so that a cut hides nothing."""
        both = f"{self._before} {unit}"
        self._before = unit[-300:]
        for text in (unit, both):
            hits = read(text, self._rules, "", of_answer=True).of("output")
            if hits:
                return hits[0].rule.id
        from guardrails._classifier import sentence_is  # brings numpy: nothing that only imports guardrails needs it

        return "classifier.harmful_answer" if sentence_is("harmful_answer", unit.strip()) else None

    def _notice(self, rule: str, sentence: str) -> None:
        self._notices.setdefault(rule, Notice(rule, output_sentence(sentence, self._language)))

    def _without_strangers(self, unit: str) -> str:
        """The sentence without telephone numbers and addresses that the directory does not have."""

        def number(match: re.Match[str]) -> str:
            return match[0] if self._known(match[0]) else self._removed()

        def short(match: re.Match[str]) -> str:
            near = unit_now[max(0, match.start() - 60) : match.start()]
            if not _CALL_BEFORE.search(near) or _MEASURE_AFTER.match(unit_now[match.end() : match.end() + 20]):
                return match[0]
            return match[0] if self._known(match[0]) else self._removed()

        def address(match: re.Match[str]) -> str:
            found = match[0].rstrip(".,;:!?")
            host = re.sub(r"^(?:h[tx]{2}ps?://)?(?:www\.)?", "", found.lower()).split("/")[0]
            known = "@" not in found and any(host == known or host.endswith("." + known) for known in self._hosts)
            return match[0] if known else self._removed() + match[0][len(found) :]

        def spelled(match: re.Match[str]) -> str:
            words = re.findall(r"\w+", match[0].casefold())
            if not _CALL_BEFORE.search(unit[max(0, match.start() - 60) : match.start()]):
                return match[0]
            return match[0] if self._known("".join(_DIGITS.get(word, "x") for word in words)) else self._removed()

        unit = "".join(map(_digit, unit)) if not unit.isascii() else unit
        unit = _SPELLED.sub(spelled, _ADDRESS.sub(address, unit))
        unit = _PHONE.sub(number, unit)
        unit_now = unit
        return _SHORT.sub(short, unit)

    def _known(self, written: str) -> bool:
        digits = re.sub(r"\D", "", written)
        national = {digits, "0" + digits[2:] if digits.startswith(("33", "44", "49")) else digits}
        known = bool(national & self._numbers)
        self._lines = self._lines or known
        return known

    def _removed(self) -> str:
        self._lines = True
        self._notice("output.unknown_number", "number")
        return self._pointer


def prepare_answers() -> None:
    """Loads the readers that the screen of answers needs (a second or two), so that the first answer need not wait for
    them. Never raises: what cannot be loaded now is tried again, and fails closed, at every answer."""
    sentence_encoder()
    passage_reader()
    try:
        OutputScreen((), language="en").feed("This sentence is read.\n")
    except RuleError as error:
        logger.error("answers cannot be screened: %s", error)
