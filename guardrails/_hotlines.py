"""Lines of help and the card that shows them: data, with a last resort in code for when the data cannot be read."""

import logging
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

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
    )


def hotlines(region: str, language: str) -> tuple[Hotline, ...]:
    """Lines of help for a region (ISO 3166, "FR", "CA-QC"): public lines first, then lines for staff, then emergency
    numbers; those that speak `language` first. An unknown region gets 112 and findahelpline.com. Never raises."""
    try:
        return _ordered(region, language)
    except Exception as error:  # a broken directory must not leave anybody without a number
        _log.error("The directory of help lines cannot be read (%s); the last resort is shown.", type(error).__name__)
        french = _LAST_RESORT_FR if region.strip().upper().startswith("FR") else ()
        return (*french[:1], *french[1:], *_LAST_RESORT)


def _ordered(region: str, language: str) -> tuple[Hotline, ...]:
    language = _language(language)
    _, entries = _region_entries(region)
    lines = [line for line in (_hotline(entry, language) for entry in entries) if line is not None]
    order = {"public": 0, "youth": 1, "staff": 2, "emergency": 3}
    lines.sort(key=lambda line: (order[line.audience], bool(line.languages) and language not in line.languages))
    fallback = _data("hotlines.toml")["fallback"]
    elsewhere = Hotline(fallback["name"], "", "", fallback["url"], "", (), "", "public")
    if not any(line.audience == "emergency" for line in lines):
        lines.append(Hotline(fallback["emergency"], fallback["emergency"], "", "", "", (), "", "emergency"))
    if not any(line.audience == "public" for line in lines):
        lines.insert(0, elsewhere)
    return tuple(lines)


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
        if third and not region.strip().upper().startswith("FR"):
            name = "third_party_elsewhere" if _language(language) == "fr" else "third_party"
        message = _data("messages.toml")["card"][name][_language(language)].strip()
    except Exception as error:
        _log.error("The words of the crisis card cannot be read (%s).", type(error).__name__)
        message = _LAST_RESORT_MESSAGE[_language(language)]
    return CrisisCard(level="third_party" if third else "first_person", message=message, hotlines=tuple(lines))


def notice(verdict: Verdict, language: str) -> Notice:
    """The rule and one sentence for a verdict that warns or refuses."""
    rule = verdict.rules[0] if verdict.rules else verdict.category.value
    sentences = _data("messages.toml")["notice"]
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
            digits = "".join(character for character in number if character.isdigit())
            if digits:
                numbers.add(digits)
        if line.url:
            hosts.add(line.url.split("/")[2].removeprefix("www."))
    hosts.add(table["fallback"]["url"].split("/")[2])
    return frozenset(numbers), frozenset(hosts)
