"""Rules as data: TOML files, read once, checked, compiled, and known by a version and a hash.

A pattern is a regular expression over canonical tokens joined by single spaces (see `_normalise`), with sugar:
`{name}` one of a list, `{name?}` perhaps one, `{name*}` up to three, `<4>` up to four words, `<4!name>` up to four
words none of which is in the list, `^ ` the beginning of the sentence. Every repetition is bounded, so that no
message can make a pattern slow.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from guardrails._errors import RuleError
from guardrails._facility import NOT_A_CRISIS, FacilityPhrase
from guardrails._normalise import Lexicon, make_lexicon
from guardrails._phrases import compile_phrase
from guardrails._releases import Release, current
from guardrails._types import Category

DATA = Path(__file__).parent / "data"
SCOPES = frozenset({"before", "just_before", "after", "just_after", "segment", "near", "message", "dialogue"})


@dataclass(frozen=True, slots=True)
class Context:
    """Words around a match that arm or disarm a rule. `scope` says where they are looked for."""

    id: str
    scope: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It matches a sentence when a pattern does, all `needs` are met (each names contexts of which one is
    enough) and none of `unless` is. `weak` names the group of a soft sign, which only counts with others."""

    id: str
    category: str
    score: float
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    unless: tuple[str, ...]
    weak: str
    raw: bool


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that a screen needs. `index` maps the beginning of a word to the rules that it can wake; `exceptions`
    are the facility's names for things that are no crisis; `again` matches a whole message that merely asks for the
    same once more; `digest` is the whole hash of which `id` shows a part."""

    id: str
    digest: str
    rules: tuple[Rule, ...]
    contexts: Mapping[str, Context]
    lexicon: Lexicon
    index: Mapping[str, tuple[int, ...]]
    raw: tuple[int, ...]
    prefix_lengths: tuple[int, ...]
    defaults: Mapping[str, tuple[str, ...]]
    again: re.Pattern[str]
    exceptions: tuple[Rule, ...] = ()


def rule_set(folder: Path = DATA) -> RuleSet:
    """The rules of a folder, compiled once a process; of the shipped folder, with what the facility has released.

    Raises RuleError; a failure is not remembered.
    """
    release = current() if folder == DATA else None
    return shipped_rules(folder) if release is None else with_release(release, folder)


@cache
def shipped_rules(folder: Path = DATA) -> RuleSet:
    """The rules of a folder alone, compiled once a process. Raises RuleError; a failure is not remembered."""
    return load_rules(folder)


@lru_cache(maxsize=4)
def with_release(release: Release, folder: Path = DATA) -> RuleSet:
    """Shipped rules and a release as one rule set, with one version and one hash."""
    shipped = shipped_rules(folder)
    own = [_facility_rule(phrase, shipped) for phrase in release.additions.phrases]
    rules = (*shipped.rules, *(rule for rule in own if rule.category != NOT_A_CRISIS))
    index, raw = _wake_words(rules)
    digest = hashlib.sha256(f"{shipped.digest}\0{release.sha256}".encode()).hexdigest()
    version = shipped.id.partition("+")[0]
    return replace(
        shipped,
        id=f"{version}.r{release.number}+{digest[:12]}",
        digest=digest,
        rules=rules,
        index=index,
        raw=raw,
        prefix_lengths=tuple(sorted({len(word) for word in index})),
        exceptions=tuple(rule for rule in own if rule.category == NOT_A_CRISIS),
    )


def _facility_rule(phrase: FacilityPhrase, shipped: RuleSet) -> Rule:
    """A facility's phrase as a rule. It is disarmed by what disarms the shipped rules of its category (a quotation,
    somebody else's words), except by what stands in the phrase itself."""
    compiled = compile_phrase(phrase.phrase, shipped.lexicon)
    disarming = shipped.defaults.get(phrase.category, ())
    unless = (name for name in disarming if name[0] == "@" or not shipped.contexts[name].pattern.search(compiled.text))
    return Rule(
        id=phrase.rule_id,
        category=phrase.category,
        score=1.0,
        pattern=compiled.pattern,
        words=(compiled.wakes,),
        needs=(),
        unless=tuple(unless),
        weak="",
        raw=compiled.raw,
    )


def load_rules(folder: Path) -> RuleSet:
    """Reads words.toml and every rules_*.toml of `folder`. The hash is over every file there and below, weights of
    models included, but for the labelled cases, which judge rules and are none."""
    files = sorted(folder.glob("*.toml"))
    names = {file.name for file in files}
    for needed in ("words.toml", "rules_fr.toml", "rules_en.toml", "rules_common.toml"):
        if needed not in names:
            raise RuleError(f"{folder / needed} is missing: the rules of the crisis screen are not complete.")
    digest = hashlib.sha256()
    tables: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            content = file.read_bytes()
            tables[file.name] = tomllib.loads(content.decode("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RuleError(f"{file} cannot be read: {error}") from error
        digest.update(file.name.encode() + b"\0" + content + b"\0")
    _add_files_below(folder, digest)
    try:
        return _build(tables, digest.hexdigest())
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise RuleError(f"The rules in {folder} are broken: {error!r}") from error


def _add_files_below(folder: Path, digest: "hashlib._Hash") -> None:
    below = (path for path in folder.rglob("*") if path.is_file() and (path.parent != folder or path.suffix != ".toml"))
    for path in sorted(below):
        place = path.relative_to(folder)
        if place.parts[0] == "cases" or "__pycache__" in place.parts:
            continue
        try:
            with path.open("rb") as file:
                digest.update(place.as_posix().encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise RuleError(f"{path} cannot be read: {error}") from error


def _build(tables: Mapping[str, Mapping[str, Any]], digest: str) -> RuleSet:
    words = tables["words.toml"]
    rule_tables = [table for name, table in tables.items() if name.startswith("rules_")]
    lists = _merge(table.get("lists", {}) for table in rule_tables)
    defaults = _merge(table.get("defaults", {}) for table in rule_tables)
    contexts: dict[str, Context] = {}
    for entry in (entry for table in rule_tables for entry in table.get("context", [])):
        if entry["scope"] not in SCOPES or entry["id"] in contexts:
            raise ValueError(f"context {entry['id']}: unknown scope or second of its name")
        contexts[entry["id"]] = Context(
            entry["id"], entry["scope"], compile_pattern(entry["any"], lists, entry["scope"])
        )
    rules = [_rule(entry, lists, defaults, contexts) for table in rule_tables for entry in table.get("rule", [])]
    if len({rule.id for rule in rules}) != len(rules):
        raise ValueError("two rules have the same id")
    if not any(rule.category == Category.FIRST_PERSON_CRISIS for rule in rules):
        raise ValueError("no rule for a person in crisis")
    index, raw = _wake_words(rules)
    return RuleSet(
        id=f"{words['version']}+{digest[:12]}",
        digest=digest,
        rules=tuple(rules),
        contexts=contexts,
        lexicon=make_lexicon(words["expand"], words["keywords"], {*words["real_words"], *_literals(rule_tables)}),
        index=index,
        raw=raw,
        prefix_lengths=tuple(sorted({len(word) for word in index})),
        defaults={category: tuple(names) for category, names in defaults.items()},
        again=_again(words["again"]),
    )


def _again(words: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    """Up to fourteen words and marks in a row, all of them known, one of them asking."""
    asks, beside = "|".join(words["asks"]), "|".join(words["beside"])
    return re.compile(rf"(?= (?:\S+ ){{0,13}}(?:{asks}) )(?: (?:{asks}|{beside}|[^\w ]+)(?= )){{1,14}} ")


def _wake_words(rules: Sequence[Rule]) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Which rules the beginning of a word wakes, and which are tried on the text as it was written."""
    index: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        for word in rule.words if not rule.raw else ():
            index.setdefault(word, []).append(number)
    raw = tuple(number for number, rule in enumerate(rules) if rule.raw)
    return {word: tuple(numbers) for word, numbers in index.items()}, raw


def _literals(tables: Iterable[Mapping[str, Any]]) -> set[str]:
    """Words that rules name: they are never mended into others."""
    patterns = (pattern for table in tables for entry in table.get("rule", []) for pattern in entry["any"])
    return {word for pattern in patterns for word in re.findall(r"(?<![\w\\])[a-z]{5,}(?![\w*+?{])", pattern)}


def _merge(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            if name in merged:
                raise ValueError(f"{name} is defined twice")
            merged[name] = value
    return merged


def _rule(
    entry: Mapping[str, Any],
    lists: Mapping[str, Sequence[str]],
    defaults: Mapping[str, Sequence[str]],
    contexts: Mapping[str, Context],
) -> Rule:
    needs = tuple(tuple(names.split("|")) for names in entry.get("needs", []))
    unless = (*entry.get("unless", []), *([] if entry.get("plain") else defaults.get(entry["category"], [])))
    for name in (*unless, *(name for group in needs for name in group)):
        if name not in contexts and not name.startswith("@"):
            raise ValueError(f"rule {entry['id']}: there is no context {name}")
    score = float(entry.get("score", entry.get("weight", 0.9)))
    if not 0 < score <= 1 or not entry["words"]:
        raise ValueError(f"rule {entry['id']}: a score above 0 up to 1 and words are needed")
    raw = bool(entry.get("raw"))
    return Rule(
        id=entry["id"],
        category=entry["category"],
        score=score,
        pattern=re.compile("|".join(entry["any"])) if raw else compile_pattern(entry["any"], lists, "rule"),
        words=tuple(entry["words"]),
        needs=needs,
        unless=tuple(unless),
        weak=entry.get("weak", ""),
        raw=raw,
    )


def compile_pattern(patterns: Sequence[str], lists: Mapping[str, Sequence[str]], scope: str) -> re.Pattern[str]:
    """One compiled expression for alternatives written with the sugar that this module's docstring explains."""
    body = "|".join(expand_pattern(pattern, lists) for pattern in patterns)
    if scope == "just_before":
        return re.compile(rf"(?<= )(?:{body}) $")
    if scope == "just_after":
        return re.compile(rf" (?:{body})(?= )")
    return re.compile(rf"(?<= )(?:{body})(?= )")


def expand_pattern(pattern: str, lists: Mapping[str, Sequence[str]]) -> str:
    """The sugar of a pattern written out; lists may use lists."""

    def one_of(match: re.Match[str]) -> str:
        name, mark = match[1], match[2]
        group = "(?:" + "|".join(expand_pattern(item, lists) for item in lists[name]) + ")"
        return {"": group, "?": f"(?:{group} )?", "*": f"(?:{group} ){{0,3}}"}[mark]

    def words(match: re.Match[str]) -> str:
        count, name = match[1], match[2]
        if not name:
            return rf"(?:\S+ ){{0,{count}}}"
        barred = "|".join(expand_pattern(item, lists) for item in lists[name])
        return rf"(?:(?!(?:{barred}) )\S+ ){{0,{count}}}"

    pattern = pattern.replace("^ ", "(?<!. )")  # the beginning of a sentence: its text begins with a space
    pattern = re.sub(r"<(\d+)(?:!(\w+))?>", words, pattern)
    return re.sub(r"\{([a-z_]+)([?*]?)\}", one_of, pattern)
