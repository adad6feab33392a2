"""What is different between two versions, by section and by word; and which documents are nearly the same."""

import random
import uuid
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import knowledge
from knowledge.comparing import SectionChange
from knowledge.ingestion._likeness import LIKE, resemblance, sketch
from knowledge.models import Guideline, GuidelineVersion, Page

from .documents import TEXT

OLD = """# Seclusion
Seclusion is the last resort.
## 1. Who decides
A physician decides on it in writing. The nurse informs the family on the same day.
## 2. How long
Give 2.5 mg at most. It is checked every hour.
## 3. Room
The room is warm and has a window. It has a bed and a call button.
## 4. Old forms
Use form 12 for each day.
"""
NEW = """# Seclusion
Seclusion is the last resort.
## 1. Room and place
The room is warm and has a window. It has a bed, a clock and a call button.
## 2. Who decides
A psychiatrist decides on it in writing within one hour. The nurse informs the family on the same day.
## 3. How long
Give 2.75 mg at most. It is checked every hour.
## 4. Review
Each case is reviewed.
"""


def store(text: str, pages: int = 1) -> GuidelineVersion:
    """A version with this text, headings marked as in Markdown, cut into pages between lines."""
    version = GuidelineVersion.objects.create(
        guideline=Guideline.objects.create(title=str(uuid.uuid4())),
        number=1,
        filename="seclusion.pdf",
        media_type="application/pdf",
        sha256=uuid.uuid4().hex,
        size=1,
        page_count=pages,
    )
    lines = text.splitlines()
    size = -(-len(lines) // pages)
    for number in range(pages):
        written, headings = "", []
        for line in lines[number * size : (number + 1) * size]:
            level = len(line) - len(line.lstrip("#"))
            if level:
                headings.append([len(written), len(written) + len(line.lstrip("# ")), level])
            written += line.lstrip("# ") + "\n"
        Page.objects.create(version=version, number=number + 1, text=written, headings=headings)
    return version


def shown(change: SectionChange) -> str:
    marks = {"same": "{}", "inserted": "[+{}+]", "deleted": "[-{}-]"}
    return "".join(marks[run.kind].format(run.text) for run in change.runs)


@pytest.mark.django_db
@pytest.mark.parametrize(("pages", "review"), [(1, 1), (4, 3)])
def test_sections_are_found_again_and_their_words_compared(pages: int, review: int) -> None:
    changes = knowledge.compare(store(OLD), store(NEW, pages))
    found = {one.heading[-1]: (one.kind, one.moved, shown(one)) for one in changes}
    assert found == {
        "Seclusion": ("unchanged", False, "Seclusion is the last resort."),
        "1. Room and place": (
            "changed", True, "The room is warm and has a window. It has a bed[+, a clock +]and a call button.",
        ),
        "2. Who decides": (
            "changed", False,
            "A [-physician -][+psychiatrist +]decides on it in writing [+within one hour+]. "
            "The nurse informs the family on the same day.",
        ),
        "3. How long": ("changed", False, "Give [-2.5 -][+2.75 +]mg at most. It is checked every hour."),
        "4. Review": ("added", False, "[+Each case is reviewed.+]"),
        "4. Old forms": ("removed", False, "[-Use form 12 for each day.-]"),
    }  # fmt: skip
    renamed = next(one for one in changes if one.old_heading)
    assert renamed.old_heading == ("Seclusion", "3. Room")
    assert [one.new_page for one in changes if one.heading[-1] == "4. Review"] == [review]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("", "", []),
        ("", "# A\nText.", [("added", "A")]),
        ("No heading at all. Two sentences.", "No heading at all. Three sentences.", [("changed", "")]),
        ("# A\nOne.\n# A\nTwo.", "# A\nTwo.\n# A\nOne.", [("unchanged", "A"), ("unchanged", "A")]),
        ("# A\nOne.\n# B\nTwo.", "# B\nTwo.\n# A\nOne.", [("unchanged", "B"), ("unchanged", "A")]),
        ("# 1. Scope\nAll wards.", "# 2) Scope\nAll  wards.", [("unchanged", "2) Scope")]),
        ("# Scope\nAll wards.", "# Where\nAll wards.", [("changed", "Where")]),
        ("# A\n## B\nOne.", "# C\n## B\nOne.", [("added", "C"), ("unchanged", "B")]),
    ],
)
def test_what_counts_as_the_same_section(old: str, new: str, kinds: list[tuple[str, str]]) -> None:
    changes = knowledge.compare(store(old), store(new))
    assert [(one.kind, one.heading[-1] if one.heading else "") for one in changes if one.kind != "removed"] == kinds


words = st.lists(
    st.sampled_from(["dose", "of", "2.5", "mg.", "the", "ward", "#", "\n", "\n# A\n", "never", "é"]), max_size=60
)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words.map(" ".join), words.map(" ".join))
def test_no_word_of_either_version_is_lost(old: str, new: str) -> None:
    before, after = store(old), store(new)
    changes = knowledge.compare(before, after)
    for version, left_out in ((before, "inserted"), (after, "deleted")):
        page = version.pages.get()
        cut = [*sorted(page.headings), [len(page.text), len(page.text), 1]]
        body = page.text[: cut[0][0]] + " ".join(page.text[end:start] for (_, end, _), (start, _, _) in pairwise(cut))
        told = " ".join("".join(run.text for run in one.runs if run.kind != left_out) for one in changes)
        assert sorted(told.replace(".", " . ").split()) == sorted(body.replace(".", " . ").split())


@pytest.mark.django_db
def test_a_long_document_without_headings_that_was_written_anew_takes_no_time() -> None:
    rng = random.Random(5)
    text = [" ".join(f"word{rng.randrange(3000)}" for _ in range(12)) + "." for _ in range(4000)]
    other = [" ".join(f"word{rng.randrange(3000)}" for _ in range(12)) + "." for _ in range(4000)]
    (change,) = knowledge.compare(store("\n".join(text)), store("\n".join(other)))
    assert {run.kind for run in change.runs} >= {"deleted", "inserted"}
    (change,) = knowledge.compare(store("\n".join(text)), store("\n".join([*text[:2000], "Quite new.", *text[2000:]])))
    assert [run.text.strip() for run in change.runs if run.kind != "same"] == ["Quite new."]


# --- likeness


def document(seed: int, words: int = 1500) -> list[str]:
    """Words of letters alone, some far more frequent than others."""
    rng = random.Random(seed)
    letters = str.maketrans("0123456789", "ghijklmnop")
    return [f"w{int(rng.paretovariate(0.6)) % 5000:x}".translate(letters) for _ in range(words)]


def changed(words: list[str], share: float) -> list[str]:
    rng = random.Random(9)
    places = set(rng.sample(range(len(words)), int(len(words) * share)))
    return ["quite" if place in places else word for place, word in enumerate(words)]


@pytest.mark.parametrize(
    ("edit", "is_like"),
    [
        (lambda words: words, True),
        (lambda words: changed(words, 0.04), True),
        (lambda words: [*words[:700], *document(2, 200), *words[700:]], True),
        (lambda words: [*words, "valid", "until", "31.12.2027"], True),
        (lambda words: [word.upper() for word in words], True),
        (lambda words: changed(words, 0.3), False),
        (lambda words: [word[::-1] for word in words], False),  # every word another one, as in a translation
        (lambda words: document(2), False),
        (lambda words: [], False),
    ],
)
def test_editions_are_told_from_other_documents(edit: Callable[[list[str]], list[str]], is_like: bool) -> None:
    words = document(1)
    assert (resemblance(sketch(" ".join(words)), sketch(" ".join(edit(words)))) >= LIKE) is is_like


def test_a_sketch_is_small_and_always_the_same() -> None:
    text = " ".join(document(1))
    assert len(sketch(text)) == 128 * 8
    assert sketch(text) == sketch(text.replace(" ", "\n"))
    assert (sketch("four words are few"), resemblance(b"", b"")) == (b"", 0.0)


def test_another_edition_under_another_title_is_pointed_out(take_in: Callable[..., GuidelineVersion]) -> None:
    text = TEXT + " ".join(document(3, 120))
    first = take_in(text, "round.txt", title="Medication round")
    second = take_in(text.replace("eight", "nine"), "tour.txt", title="Tour", approve=False)
    other = take_in(" ".join(document(4, 120)), "other.txt", title="Other", approve=False)
    for version in (second, other):
        version.refresh_from_db()
    assert second.similar_to == first
    assert second.similarity is not None
    assert LIKE <= second.similarity < 1
    assert (other.similar_to, other.similarity) == (None, None)
    knowledge.keep_apart(second.pk, actor="dora")
    second.refresh_from_db()
    assert second.similar_to is None
