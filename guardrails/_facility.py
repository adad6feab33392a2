"""What a facility adds to the shipped rules: words of its own, help lines of its own, the regions it shows.

Plain values, checked when they are made, and their TOML form. A phrase is words, never a pattern: nothing that is
typed here reaches the regular expression engine unescaped (see `_rules`).
"""

import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from guardrails._errors import AdditionError
from guardrails._types import Category

NOT_A_CRISIS = "not_a_crisis"
PHRASE_CATEGORIES = (
    Category.FIRST_PERSON_CRISIS.value,
    Category.THIRD_PERSON_EMERGENCY.value,
    Category.METHOD_SEEKING.value,
    NOT_A_CRISIS,
)
AUDIENCES = ("staff", "public", "emergency")
PHRASE_CHARACTERS = 120
PHRASE_WORDS = 12
PHRASES = 500
LINES = 50
_NAME_CHARACTERS = 80
_HOURS_CHARACTERS = 60
_NUMBER = re.compile(r"\+?[\d (][\d ().\-/]{0,29}")
_URL = re.compile(r"https?://[A-Za-z0-9.-]{1,200}(?::\d{1,5})?(?:/[!-~]{0,200})?")
_REGION = re.compile(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?")
_LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True, slots=True)
class FacilityPhrase:
    """Words that mean something here: a rule where `category` is one of the screen's, an exception (the name of a
    ward, of a protocol) where it is "not_a_crisis". `language` is ISO 639-1, empty for any."""

    phrase: str
    language: str
    category: str

    @property
    def rule_id(self) -> str:
        """The name of its rule, the same wherever and whenever the phrase is released."""
        digest = hashlib.sha256(f"{self.category}\0{self.phrase.casefold()}".encode()).hexdigest()
        return f"facility.{self.category}.{digest[:8]}"


@dataclass(frozen=True, slots=True)
class FacilityHotline:
    """A line of help of the facility's own. `checked_on` is None where nobody has said when it was last called."""

    name: str
    phone: str
    sms: str
    url: str
    hours: str
    languages: tuple[str, ...]
    audience: str
    region: str
    checked_on: date | None


@dataclass(frozen=True, slots=True)
class FacilityAdditions:
    """Everything of a release. Without `regions` the installation's setting decides."""

    phrases: tuple[FacilityPhrase, ...] = ()
    hotlines: tuple[FacilityHotline, ...] = ()
    regions: tuple[str, ...] = ()


def one_line(text: object, field: str, most: int) -> str:
    """The text as one tidy line. Raises AdditionError for control characters and for more than `most` characters."""
    if not isinstance(text, str):
        raise AdditionError("not_text", field)
    kept = "".join(character for character in text if unicodedata.category(character) != "Cf")
    kept = " ".join(unicodedata.normalize("NFC", kept).split(" ")).strip()
    kept = re.sub(r"[^\S\n\r\t\v\f]+", " ", kept)
    if any(unicodedata.category(character)[0] in "CZ" and character != " " for character in kept):
        raise AdditionError("control_characters", field)
    if len(kept) > most:
        raise AdditionError("too_long", field, str(most))
    return kept


def phrase(text: object, language: object, category: object) -> FacilityPhrase:
    """A checked phrase. Raises AdditionError: empty, too_short, too_long, unknown_language, unknown_category."""
    words = one_line(text, "phrase", PHRASE_CHARACTERS)
    letters = sum(character.isalpha() for character in words)
    if not any(character.isalnum() for character in words):
        raise AdditionError("empty", "phrase")
    # one sign of Chinese or Japanese says as much as a word
    if letters < 3 and not any(ord(character) >= 0x2E80 for character in words):
        raise AdditionError("too_short", "phrase")
    if len(words.split()) > PHRASE_WORDS:
        raise AdditionError("too_many_words", "phrase", str(PHRASE_WORDS))
    if language != "" and not (isinstance(language, str) and _LANGUAGE.fullmatch(language)):
        raise AdditionError("unknown_language", "language")
    if category not in PHRASE_CATEGORIES:
        raise AdditionError("unknown_category", "category")
    return FacilityPhrase(words, str(language), str(category))


def hotline(values: Mapping[str, Any], *, today: date | None = None) -> FacilityHotline:
    """A checked line of help. Raises AdditionError with the field that is wrong. With `today`, a check in the future
    is refused."""
    name = one_line(values.get("name", ""), "name", _NAME_CHARACTERS)
    if not any(character.isalpha() for character in name):
        raise AdditionError("empty", "name")
    url = one_line(values.get("url", ""), "url", 220)
    if url and not _URL.fullmatch(url):
        raise AdditionError("bad_url", "url")
    audience = values.get("audience", "")
    if audience not in AUDIENCES:
        raise AdditionError("unknown_audience", "audience")
    region = one_line(values.get("region", ""), "region", 6).upper()
    if region and not _REGION.fullmatch(region):
        raise AdditionError("bad_region", "region")
    languages = tuple(dict.fromkeys(str(one).strip().lower() for one in values.get("languages", ())))
    if not all(_LANGUAGE.fullmatch(one) for one in languages) or len(languages) > 12:
        raise AdditionError("bad_languages", "languages")
    checked_on = values.get("checked_on")
    if checked_on is not None and (not isinstance(checked_on, date) or checked_on.year < 2000):
        raise AdditionError("bad_date", "checked_on")
    if checked_on is not None and today is not None and checked_on > today:
        raise AdditionError("date_in_future", "checked_on")
    line = FacilityHotline(
        name=name,
        phone=_number(values.get("phone", ""), "phone"),
        sms=_number(values.get("sms", ""), "sms"),
        url=url,
        hours=one_line(values.get("hours", ""), "hours", _HOURS_CHARACTERS),
        languages=languages,
        audience=str(audience),
        region=region,
        checked_on=checked_on,
    )
    if not (line.phone or line.sms or line.url):
        raise AdditionError("no_way_to_reach", "phone")
    return line


def _number(text: object, field: str) -> str:
    number = one_line(text, field, 30)
    digits = sum(character.isdigit() for character in number)
    if number and not (_NUMBER.fullmatch(number) and number.isascii() and 2 <= digits <= 15):
        raise AdditionError("bad_number", field)
    return number


def region(text: object) -> str:
    """A checked region: "FR", "CA-QC". Raises AdditionError."""
    code = one_line(text, "regions", 6).upper()
    if not _REGION.fullmatch(code):
        raise AdditionError("bad_region", "regions", code)
    return code


def additions(table: Mapping[str, Any]) -> FacilityAdditions:
    """Checked additions from plain values (TOML, JSON): keys phrase, hotline, regions. Raises AdditionError."""
    if set(table) - {"phrase", "hotline", "regions"}:
        raise AdditionError("unknown_key", value=", ".join(sorted(set(table) - {"phrase", "hotline", "regions"})))
    try:
        phrases = tuple(
            phrase(one["phrase"], one.get("language", ""), one["category"]) for one in table.get("phrase", ())
        )
        lines = tuple(hotline(one) for one in table.get("hotline", ()))
        regions = tuple(dict.fromkeys(region(one) for one in table.get("regions", ())))
    except (TypeError, KeyError, AttributeError) as error:
        raise AdditionError("malformed", value=type(error).__name__) from error
    if len(phrases) > PHRASES or len(lines) > LINES:
        raise AdditionError("too_many", "phrase" if len(phrases) > PHRASES else "hotline")
    words = [one.phrase.casefold() for one in phrases]
    if repeated := next((one for one in words if words.count(one) > 1), ""):
        raise AdditionError("duplicate", "phrase", repeated)
    return FacilityAdditions(phrases, lines, regions)


def from_toml(text: str) -> FacilityAdditions:
    """The additions that a TOML text holds. Raises AdditionError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AdditionError("not_toml", value=str(error)) from error
    return additions(table)


def to_toml(content: FacilityAdditions) -> str:
    """The additions as TOML: `from_toml` reads the same values back, and the same values always give the same text."""
    parts = [f"regions = {_value(content.regions)}"]
    for name, entries in (("phrase", content.phrases), ("hotline", content.hotlines)):
        for entry in entries:
            values = ((one.name, getattr(entry, one.name)) for one in fields(entry))
            lines = [f"{key} = {_value(value)}" for key, value in values if value is not None]
            parts.append("\n".join([f"[[{name}]]", *lines]))
    return "\n\n".join(parts) + "\n"


def _value(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    # JSON's strings are TOML's but for DEL, which `one_line` has refused
    return json.dumps(value, ensure_ascii=False)
