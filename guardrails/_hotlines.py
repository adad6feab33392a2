"""Lines of help and the card that shows them: data, with a last resort in code for when the data cannot be read."""

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any, Literal

from guardrails._errors import RuleError
from guardrails._facility import FacilityAdditions, FacilityHotline
from guardrails._releases import current
from guardrails._rules import DATA
from guardrails._types import Action, Category, CrisisCard, Hotline, Notice, Verdict

_log = logging.getLogger(__name__)

_LANGUAGES = ("fr", "en")
_LAST_RESORT = (
    Hotline("112", "112", "", "", "24/7", (), "", "emergency"),
    Hotline("Find A Helpline", "", "", "https://findahelpline.com", "", (), "", "public"),
)
_LAST_RESORT_FR = (
    Hotline("3114", "3114", "", "https://3114.fr", "24/7", ("fr",), "FR", "public"),
    Hotline("SAMU", "15", "", "", "24/7", (), "FR", "emergency"),
)
_LAST_RESORT_MESSAGE = {
    "fr": "Si vous, ou quelqu’un d’autre, êtes en danger, appelez maintenant.",
    "en": "If you, or somebody else, are in danger, call now.",
}
_TO_BE_CHECKED = {"fr": "numéro à vérifier", "en": "number not yet checked"}


@cache
def _data(name: str) -> Mapping[str, Any]:
    with (DATA / name).open("rb") as file:
        return tomllib.load(file)


def _language(language: str) -> str:
    short = language.lower()[:2]
    return short if short in _LANGUAGES else "en"


def _region_entries(region: str) -> tuple[str, list[Mapping[str, Any]]]:
    """The entries of a region, or of the country it belongs to ("CA-QC", then "CA")."""
    entries = _data("hotlines.toml")["hotline"]
    wanted = region.strip().upper()
    while wanted:
        found = [entry for entry in entries if entry["region"] == wanted]
        if found:
            return wanted, found
        wanted = wanted.rpartition("-")[0]
    return "", []


def _hotline(entry: Mapping[str, Any], language: str) -> Hotline | None:
    """What may be shown of an entry: fields that no source confirms are left out, and with them the line where
    nothing remains. An emergency number is still shown, and said to be unchecked: none at all would be worse."""
    unverified = set(entry["unverified"])
    name = entry["name"] if isinstance(entry["name"], str) else entry["name"][language]
    hours = entry["hours"]
    if "all" in unverified:
        if entry["audience"] != "emergency":
            return None
        hours = _TO_BE_CHECKED[language]
        unverified = set()
    shown = {
        field: "" if field in unverified else value
        for field, value in {**entry, "hours": hours}.items()
        if field in {"phone", "sms", "url", "hours"}
    }
    if not (shown["phone"] or shown["sms"] or shown["url"]):
        return None
    return Hotline(
        name=name,
        phone=shown["phone"],
        sms=shown["sms"],
        url=shown["url"],
        hours=shown["hours"],
        languages=tuple(entry["languages"]),
        region=entry["region"],
        audience=entry["audience"],
        checked_on="" if hours == _TO_BE_CHECKED[language] else str(entry["checked_on"]),
    )


def hotlines(region: str, language: str) -> tuple[Hotline, ...]:
    """Lines of help for a region (ISO 3166, "FR", "CA-QC"; several with commas): public lines first, then lines for
    staff, then emergency numbers; those that speak `language` first. The facility's own lines are among them, before
    the others for staff and emergencies, and the regions that it has released take the place of `region`. An unknown
    region gets 112 and findahelpline.com. Never raises."""
    try:
        return _ordered(region, _language(language), _released())
    except Exception as error:  # a broken directory must not leave anybody without a number
        _log.error("The directory of help lines cannot be read (%s); the last resort is shown.", type(error).__name__)
        french = _LAST_RESORT_FR if "FR" in _regions(region, ()) else ()
        return (*french[:1], *french[1:], *_LAST_RESORT)


def _released() -> FacilityAdditions:
    """What the facility has released; nothing where that cannot be read, because the shipped lines still can."""
    try:
        release = current()
    except RuleError:
        return FacilityAdditions()
    return FacilityAdditions() if release is None else release.additions


def _regions(setting: str, released: tuple[str, ...]) -> tuple[str, ...]:
    asked = released or setting.split(",")
    return tuple(dict.fromkeys(one.strip().upper() for one in asked if one.strip()))


def _ordered(region: str, language: str, own: FacilityAdditions) -> tuple[Hotline, ...]:
    regions = _regions(region, own.regions)
    lines: list[Hotline] = []
    for one in regions:
        found = (_hotline(entry, language) for entry in _region_entries(one)[1])
        lines += [_with_region(line) if len(regions) > 1 else line for line in found if line is not None]
    order = {"public": 0, "youth": 1, "staff": 2, "emergency": 3}
    facility = [_own_line(line) for line in own.hotlines]
    # a stranger's ear first for whoever is in crisis; but nearest comes first for staff and in an emergency
    lines = [*(line for line in facility if line.audience != "public"), *lines]
    lines += [line for line in facility if line.audience == "public"]
    ours = set(facility)
    lines.sort(
        key=lambda line: (
            order[line.audience],
            line not in ours and bool(line.languages) and language not in line.languages,
        )
    )
    fallback = _data("hotlines.toml")["fallback"]
    elsewhere = Hotline(fallback["name"], "", "", fallback["url"], "", (), "", "public")
    if not any(line.audience == "emergency" and line not in ours for line in lines):
        lines.append(Hotline(fallback["emergency"], fallback["emergency"], "", "", "", (), "", "emergency"))
    if not any(line.audience == "public" and line not in ours for line in lines):
        lines.insert(0, elsewhere)
    return tuple({(line.name, line.phone, line.sms, line.url): line for line in reversed(lines)}.values())[::-1]


def _with_region(line: Hotline) -> Hotline:
    """The line with its country in its name, where lines of several are shown side by side."""
    return line if line.region in line.name else replace(line, name=f"{line.name} ({line.region})")


def _own_line(line: FacilityHotline) -> Hotline:
    checked = line.checked_on.isoformat() if line.checked_on else ""
    return Hotline(
        line.name, line.phone, line.sms, line.url, line.hours, line.languages, line.region, line.audience, checked
    )


def known_regions() -> tuple[str, ...]:
    """The regions that the directory has lines for, in alphabetical order. Raises OSError, TOMLDecodeError."""
    return tuple(sorted({str(entry["region"]) for entry in _data("hotlines.toml")["hotline"]}))


def lines_to_check(region: str, today: date, days: int = 180) -> tuple[Hotline, ...]:
    """The lines shown for a region that nobody has checked for `days` days, the facility's own without any date
    among them. Lines that are not shown because nobody confirms them are not named. Never raises."""
    old = (line for line in hotlines(region, "en") if line.region or line in _own_lines())
    return tuple(line for line in old if not line.checked_on or _age(line, today) > days)


def _own_lines() -> tuple[Hotline, ...]:
    return tuple(_own_line(line) for line in _released().hotlines)


def _age(line: Hotline, today: date) -> int:
    return (today - date.fromisoformat(line.checked_on)).days


def crisis_card(
    level: Literal["first_person", "third_party"],
    *,
    region: str,
    language: str,
    unscreened: bool = False,
    answer_stopped: bool = False,
) -> CrisisCard:
    """The card for a person in crisis ("first_person": human and anonymous lines first) or for whoever reports an
    emergency ("third_party": emergency numbers first, imperative lines).

    `unscreened` says that the screen itself failed, `answer_stopped` that it was the model's answer that could not be
    shown (so that the message did reach the model). An unknown level is treated as "first_person". Never raises.
    """
    third = level == "third_party" and not (unscreened or answer_stopped)
    lines = list(hotlines(region, language))
    if third:
        lines.sort(key=lambda line: line.audience != "emergency")
    try:
        name = "third_party" if third else "first_person"
        if unscreened or answer_stopped:
            name = "unscreened" if unscreened else "answer_stopped"
        if third and _regions(region, _released().regions)[:1] != ("FR",):
            name = "third_party_elsewhere" if _language(language) == "fr" else "third_party"
        message = _data("messages.toml")["card"][name][_language(language)].strip()
    except Exception as error:
        _log.error("The words of the crisis card cannot be read (%s).", type(error).__name__)
        message = _LAST_RESORT_MESSAGE[_language(language)]
    return CrisisCard(level="third_party" if third else "first_person", message=message, hotlines=tuple(lines))


def notice(verdict: Verdict, language: str) -> Notice:
    """The rule and one sentence for a verdict that warns or refuses; a hard day of the writer's own gets a pointer."""
    rule = verdict.rules[0] if verdict.rules else verdict.category.value
    sentences = _data("messages.toml")["notice"]
    if verdict.category == Category.BENIGN and verdict.action == Action.WARN:
        return Notice(rule, sentences["distress"][_language(language)])
    known = verdict.action in {Action.WARN, Action.REFUSE} and verdict.category in {
        Category.METHOD_SEEKING,
        Category.PROMPT_INJECTION,
        Category.PATIENT_IDENTIFIER,
        Category.DEVICE_BOUNDARY,
    }
    return Notice(rule, sentences[verdict.category.value if known else "other"][_language(language)])


def output_sentence(name: str, language: str) -> str:
    """One of the sentences that the output screen says ("stopped", "number", "citation", "pointer")."""
    return str(_data("messages.toml")["output"][name][_language(language)])


def directory() -> tuple[frozenset[str], frozenset[str]]:
    """Digits of every number in the directory, and the host names of its pages. Lines that no source confirms are
    left out: a model must not be able to make one look confirmed."""
    numbers: set[str] = set()
    hosts: set[str] = set()
    table = _data("hotlines.toml")
    for entry in table["hotline"]:
        line = _hotline(entry, "en")
        if line is None:
            continue
        for number in (line.phone, line.sms, *entry.get("also", [])):
            if digits := _digits(number):
                numbers.add(digits)
        if line.url:
            hosts.add(line.url.split("/")[2].removeprefix("www."))
    for own in _own_lines():
        numbers.update(filter(None, (_digits(own.phone), _digits(own.sms))))
        if own.url:
            hosts.add(own.url.split("/")[2].removeprefix("www."))
    hosts.add(table["fallback"]["url"].split("/")[2])
    return frozenset(numbers), frozenset(hosts)


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())
