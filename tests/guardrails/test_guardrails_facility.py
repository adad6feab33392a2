"""A facility's words and lines: what a form accepts is words alone, comes back from its file, and fires on itself."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from re import _constants as constants
from re import _parser as parser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrails import Action, Category, OutputScreen, hotlines, releases, screen_input
from guardrails import _rules as rules_module
from guardrails.releases import AdditionError, FacilityAdditions, FacilityPhrase

CATEGORIES = [one for one in releases.PHRASE_CATEGORIES if one != releases.NOT_A_CRISIS]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path) -> Iterator[Path]:
    before = releases.releases_folder()
    releases.use_releases(tmp_path)
    yield tmp_path
    releases.use_releases(before)


def accepted(text: str, category: str) -> FacilityPhrase | None:
    """The phrase, or None where the form refuses it with a sentence."""
    try:
        phrase = releases.facility_phrase(text, "", category)
        releases.check_phrase(phrase)
    except AdditionError:
        return None
    return phrase


WORDS = st.one_of(
    st.text(min_size=3, max_size=60),
    st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=2, max_size=9), max_size=8).map(" ".join),
    st.text(alphabet="abcé -'\"’.()[]{}|\\*+?^$<>!=&#@%/:;,0123456789", min_size=3, max_size=60),
    st.sampled_from(
        [
            "(a+)+$",
            "a|b|.*",
            "\\w+\\d{3}",
            "[abc]{2,}",
            "{who_en} <6>",
            "^ code",
            "(?=x)y",
            "code\\",
            "{now_fr*}",
            "<9!x>",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.sampled_from(releases.PHRASE_CATEGORIES))
@example("Projet Suicide-Stop", releases.NOT_A_CRISIS)
@example("自杀热线项目", "method_seeking")
def test_any_phrase_that_is_accepted_is_words_and_nothing_else(text: str, category: str) -> None:
    phrase = accepted(text, category)
    if phrase is None:
        return
    content = FacilityAdditions(phrases=(phrase,))
    with releases.trying(content):
        rules = rules_module.rule_set()
    rule = next(one for one in (*rules.rules, *rules.exceptions) if one.id == phrase.rule_id)
    for operation, argument in _operations(parser.parse(rule.pattern.pattern)):
        if operation in {constants.MAX_REPEAT, constants.MIN_REPEAT}:
            assert argument[1] == 1, rule.pattern.pattern  # nothing repeats: no message can make it slow
        assert operation is not constants.ANY


def _operations(parsed: object) -> Iterator[tuple[object, object]]:
    for operation, argument in parsed:  # type: ignore[attr-defined]
        yield operation, argument
        if operation in {constants.MAX_REPEAT, constants.MIN_REPEAT}:
            yield from _operations(argument[2])
        elif operation is constants.SUBPATTERN:
            yield from _operations(argument[3])
        elif operation in {constants.ASSERT, constants.ASSERT_NOT}:
            yield from _operations(argument[1])
        elif operation is constants.BRANCH:
            for branch in argument[1]:
                yield from _operations(branch)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.sampled_from(CATEGORIES))
def test_any_phrase_that_is_accepted_fires_on_itself(text: str, category: str) -> None:
    phrase = accepted(text, category)
    if phrase is None:
        return
    with releases.trying(FacilityAdditions(phrases=(phrase,))):
        verdict = screen_input(phrase.phrase)
    assert verdict.action is not Action.ALLOW


LINES = st.builds(
    dict,
    name=st.text(min_size=1, max_size=80),
    phone=st.from_regex(r"\+?[0-9][0-9 ().-]{1,13}", fullmatch=True),
    hours=st.text(max_size=60),
    languages=st.lists(st.sampled_from(["fr", "en", "de"]), max_size=3),
    audience=st.sampled_from(releases.AUDIENCES),
    region=st.sampled_from(["", "FR", "CA-QC"]),
    checked_on=st.none() | st.dates(date(2000, 1, 1), date(2026, 11, 22)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.sampled_from(releases.PHRASE_CATEGORIES)), max_size=5),
    st.lists(LINES, max_size=3),
    st.lists(st.sampled_from(["FR", "BE", "CA-QC"]), max_size=3),
)
def test_what_is_written_is_read_back(phrases: list, lines: list, regions: list) -> None:
    table = {
        "phrase": [{"phrase": text, "language": "fr", "category": category} for text, category in phrases],
        "hotline": lines,
        "regions": regions,
    }
    try:
        content = releases.facility_additions(table)
    except AdditionError:
        return
    text = releases.to_toml(content)
    assert releases.from_toml(text) == content
    assert releases.to_toml(releases.from_toml(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        'unknown = "key"',
        "phrase = 3",
        '[[phrase]]\nphrase = "x"',
        '[[phrase]]\nphrase = "code violet"\ncategory = "benign"',
        '[[phrase]]\nphrase = "code violet"\ncategory = "not_a_crisis"\n' * 2,
        '[[hotline]]\nname = "x"\naudience = "staff"',
        'regions = ["France"]',
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(AdditionError):
        releases.from_toml(text)


def release(*phrases: tuple[str, str], number: int = 1, **more: object) -> None:
    table = {"phrase": [{"phrase": text, "category": category} for text, category in phrases], **more}
    releases.point_at(releases.write_release(number, releases.facility_additions(table)))


@pytest.mark.parametrize(
    "text",
    [
        "plan tournesol demandé",
        "PLAN TOURNESOL",
        "Plân toürnesol !",
        "plan-tournesol",
        "plan, tournesol",
        "p\u200blan tournesol",
    ],
)
def test_a_word_is_found_however_it_is_typed(text: str) -> None:
    assert screen_input(text).action is Action.ALLOW
    release(("Plan tournesol", "third_person_emergency"))
    assert screen_input(text).category is Category.THIRD_PERSON_EMERGENCY


def test_a_word_that_somebody_else_says_is_not_the_writers_own() -> None:
    release(("je file au grand pont", "first_person_crisis"))
    assert screen_input("je file au grand pont").category is Category.FIRST_PERSON_CRISIS
    quoted = "La patiente a dit : « je file au grand pont ». Comment le noter ?"
    assert screen_input(quoted).action is Action.ALLOW


def test_a_name_is_no_crisis_and_hides_none_beside_it() -> None:
    name = "groupe Envie de mourir autrement"
    said = f"Inscription au {name} jeudi"
    assert screen_input(said).category is Category.FIRST_PERSON_CRISIS or screen_input(said).action is Action.ALLOW
    release((name, "not_a_crisis"))
    assert screen_input(said).action is Action.ALLOW
    assert screen_input(f"Je sors du {name} et je veux mourir").category is Category.FIRST_PERSON_CRISIS
    assert screen_input("Je veux mourir", history=[said]).category is Category.FIRST_PERSON_CRISIS


def test_every_verdict_carries_one_version_and_one_hash_over_all_of_it() -> None:
    shipped = screen_input("bonjour").rule_set
    release(("code violet", "third_person_emergency"))
    first = screen_input("bonjour").rule_set
    release(("code mauve", "third_person_emergency"), number=2)
    second = screen_input("bonjour").rule_set
    assert len({shipped, first, second}) == 3
    assert re.fullmatch(r"\S+\.r2\+[0-9a-f]{12}", second)


def test_weights_below_the_rules_are_part_of_the_hash_and_labelled_cases_are_not(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "rules"
    folder.mkdir()
    for file in rules_module.DATA.glob("*.toml"):
        shutil.copy(file, folder)
    before = rules_module.load_rules(folder).digest
    (folder / "classifier").mkdir()
    (folder / "classifier" / "weights.bin").write_bytes(b"\x00\x01")
    with_weights = rules_module.load_rules(folder).digest
    assert with_weights != before
    (folder / "cases").mkdir()
    (folder / "cases" / "more.jsonl").write_text("{}\n", encoding="utf-8")
    assert rules_module.load_rules(folder).digest == with_weights


def test_another_process_works_with_a_release_at_its_next_message(own_folder: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from guardrails import releases, screen_input\n"
        "releases.use_releases(pathlib.Path(sys.argv[1]))\n"
        "for line in sys.stdin: print(screen_input(line).action.value, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(own_folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout

        def ask() -> str:
            other.stdin.write("code violet\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert ask() == "allow"
        release(("code violet", "third_person_emergency"))
        assert ask() == "alarm"
        release(number=2)
        assert ask() == "allow"
        (own_folder / "current.toml").unlink()
        assert ask() == "redirect"
        other.stdin.close()
        other.wait(10)


def test_a_release_that_comes_while_another_is_read_is_not_overlooked(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(("code violet", "third_person_emergency"))
    read = Path.read_text
    swapped: list[str] = []

    def slowly(path: Path, *arguments: object, **named: object) -> str:
        text = read(path, *arguments, **named)  # type: ignore[arg-type]
        if path.name == "current.toml" and not swapped:
            swapped.append(text)
            release(("code mauve", "third_person_emergency"), number=2)
        return text

    releases.use_releases(own_folder)
    monkeypatch.setattr(Path, "read_text", slowly)
    screen_input("bonjour")
    assert swapped
    assert screen_input("code mauve").action is Action.ALARM
    assert screen_input("code violet").action is Action.ALLOW


def test_a_first_release_that_is_taken_back_leaves_the_shipped_rules(own_folder: Path) -> None:
    assert screen_input("bonjour").action is Action.ALLOW
    release(("code violet", "third_person_emergency"))
    assert screen_input("code violet").action is Action.ALARM
    releases.point_at(None)
    for _ in range(2):
        assert screen_input("code violet").action is Action.ALLOW
        releases.use_releases(own_folder)  # as in a process that starts now
    (own_folder / "current.toml").unlink()
    assert screen_input("bonjour").category is Category.UNSCREENED


def test_asking_what_holds_reads_no_file_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    release(("code violet", "third_person_emergency"))
    held = releases.current()

    def reading(*_: object, **__: object) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_text", reading)
    assert releases.current() is held


def test_a_model_may_name_the_facilitys_own_number(own_folder: Path) -> None:
    line = {"name": "Psychiatre de garde", "phone": "01 23 45 67 89", "audience": "staff"}

    def shown() -> str:
        screen = OutputScreen((), language="fr")
        return screen.feed("Appelez le 01 23 45 67 89. ") + screen.finish().tail

    assert "01 23 45 67 89" not in shown()
    release(hotline=[line])
    assert "01 23 45 67 89" in shown()


def test_several_regions_show_the_lines_of_each_in_their_order() -> None:
    lines = hotlines("FR,BE", "fr")
    phones = [line.phone for line in lines]
    assert phones.index("3114") < phones.index("0800 32 123")
    assert any(line.name.endswith("(BE)") for line in lines)
    assert all("(FR)" not in line.name for line in hotlines("FR", "fr"))
    assert all(time.strptime(line.checked_on, "%Y-%m-%d") for line in hotlines("FR", "fr"))
