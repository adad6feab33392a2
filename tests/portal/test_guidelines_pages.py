"""The administrator's pages of the library, as a browser without scripts sees them: what they say, what their buttons
do, and what they refuse."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import knowledge
from knowledge.models import (
    Chunk,
    Department,
    FolderFile,
    Guideline,
    GuidelineVersion,
    Index,
    Page,
)
from portal.accounts.models import User
from portal.guidelines import estimates, listing
from tests.conftest import PASSWORD, Cast

State, Ingestion = GuidelineVersion.State, GuidelineVersion.Ingestion
TEXT = "The plan is written together with the person. It is read again at every contact."


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    settings.HAVRE_DATA_DIR = tmp_path


@pytest.fixture(autouse=True)
def closed(db: None) -> Iterator[None]:
    yield
    knowledge.close()


@pytest.fixture
def dina(cast: Cast) -> User:
    """Another administrator."""
    return User.objects.create_user("dina", password=PASSWORD, role="admin")


@pytest.fixture
def page(client: Client, cast: Cast) -> Client:
    """Dora's browser, without scripts."""
    client.force_login(cast.dora)  # type: ignore[arg-type]
    return client


@pytest.fixture
def version(db: None) -> Callable[..., GuidelineVersion]:
    """A version that has been read, without reading one: `version("Safety plan", State.DRAFT)`."""
    made = iter(range(1000))

    def make(title: str, state: str = State.DRAFT, text: str = TEXT, **fields: Any) -> GuidelineVersion:
        publisher = fields.pop("publisher", "Ward 3")
        guideline, _ = Guideline.objects.get_or_create(title=title, publisher=publisher, defaults={"language": "en"})
        number = guideline.versions.count() + 1
        defaults = {
            "filename": "plan.pdf", "media_type": "application/pdf", "sha256": f"{next(made):064x}", "size": 4000,
            "page_count": 2, "uploaded_by": "dora", "ingestion": Ingestion.INDEXED, "language": "en",
        }  # fmt: skip
        one = GuidelineVersion.objects.create(
            guideline=guideline, number=number, state=State.DRAFT, **{**defaults, **fields}
        )
        heading = "Steps"
        for place in (1, 2):
            words = f"{heading}\n{text}" if place == 1 else "The last page says little."
            headings = [[0, len(heading), 1]] if place == 1 else []
            Page.objects.create(version=one, number=place, label=f"A{place}", text=words, headings=headings)
            start = len(heading) + 1 if place == 1 else 0
            Chunk.objects.create(
                version=one, ordinal=place - 1, page=place, last_page=place, page_label=f"A{place}", heading=heading,
                text=words[start:], start=start, end=len(words), language="en", terms="",
            )  # fmt: skip
        _bring_to(one, state)
        return one

    return make


def _bring_to(version: GuidelineVersion, state: str) -> None:
    """By the steps that people take."""
    if state == State.DRAFT:
        return
    knowledge.submit(version.pk, actor="dora")
    if state == State.IN_REVIEW:
        return
    knowledge.approve(version.pk, actor="carl")
    if state == State.ARCHIVED:
        knowledge.archive(version.pk, actor="carl")
    version.refresh_from_db()


def read(page: Client, name: str, *arguments: Any, query: str = "", **more: Any) -> str:
    """The words of a page, without its tags."""
    response = page.get(reverse(f"guidelines:{name}", args=arguments) + query, **more)
    assert response.status_code == 200
    return words(response.content.decode())


def words(html: str) -> str:
    body = html.partition("<main")[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def send(page: Client, route: str, /, *arguments: Any, **fields: Any) -> str:
    """The words of the page that a form leads to."""
    response = page.post(reverse(f"guidelines:{route}", args=arguments), fields, follow=True)
    assert response.status_code == 200
    return words(response.content.decode())


# --- the library


def test_an_empty_library_says_what_to_do(page: Client) -> None:
    said = read(page, "index")
    assert "The library is empty" in said
    assert "Drop documents or folders here" in said


def test_each_guideline_says_what_is_in_force_since_when_by_whom(page: Client, version: Any) -> None:
    version("Safety plan", State.EFFECTIVE)
    version("Safety plan", State.IN_REVIEW)
    said = read(page, "index")
    assert "Version 1 since" in said
    assert "approved by carl" in said
    assert "Version 2 In review" in said
    assert "submitted by dora" in said


FILTERS = [
    ("", {"Plan", "Restraint", "Lithium", "Sleep"}),
    ("?q=lithium", {"Lithium"}),
    ("?q=ward+LITH", {"Lithium"}),
    ("?q=nothing+of+that", set()),
    ("?state=answers", {"Plan", "Lithium"}),
    ("?state=waiting", {"Restraint"}),
    ("?state=off", {"Sleep"}),
    ("?state=draft", {"Lithium"}),
    ("?state=silent", {"Restraint"}),
    ("?state=failed", set()),
    ("?language=fr", {"Lithium"}),
    ("?review=overdue", {"Lithium"}),
    ("?review=soon", {"Lithium", "Plan"}),
    ("?mine=on", {"Restraint"}),
    ("?state=<script>", {"Plan", "Restraint", "Lithium", "Sleep"}),
    ("?department=nonsense", {"Plan", "Restraint", "Lithium", "Sleep"}),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters(client: Client, dina: User, version: Any, query: str, expected: set[str]) -> None:
    today = timezone.localdate()
    for title, state in {
        "Plan": "effective",
        "Restraint": "in_review",
        "Lithium": "effective",
        "Sleep": "effective",
    }.items():
        version(title, state)
    version("Lithium")  # answers, and has a version to come
    GuidelineVersion.objects.filter(guideline__title="Lithium").update(review_due=today - timedelta(1))
    GuidelineVersion.objects.filter(guideline__title="Plan").update(review_due=today + timedelta(9))
    Guideline.objects.filter(title="Lithium").update(language="fr")
    Guideline.objects.filter(title="Sleep").update(enabled=False)
    client.force_login(dina)
    html = client.get(reverse("guidelines:index") + query).content.decode()
    assert set(re.findall(r"<strong>(Plan|Restraint|Lithium|Sleep)</strong>", html)) == expected
    assert "<script>" not in html


def test_by_department_and_by_review(page: Client, version: Any) -> None:
    emergency = Department.objects.create(name="Emergency")
    first, second = version("A", "effective"), version("B", "effective")
    second.guideline.departments.add(emergency)
    GuidelineVersion.objects.filter(pk=second.pk).update(review_due=timezone.localdate())
    html = page.get(reverse("guidelines:index"), {"department": str(emergency.pk)}).content.decode()
    assert re.findall(r"<strong>([AB])</strong>", html) == ["B"]
    html = page.get(reverse("guidelines:index"), {"order": "review"}).content.decode()
    assert re.findall(r"<strong>([AB])</strong>", html) == ["B", "A"]
    assert first.pk != second.pk


def test_nobody_is_asked_to_approve_their_own(page: Client, version: Any) -> None:
    version("Safety plan", State.IN_REVIEW)
    assert 'name="versions"' not in page.get(reverse("guidelines:index")).content.decode()


@pytest.mark.parametrize("who", ["dora", "dina", "carl"])
def test_who_is_asked_is_who_may(version: Any, who: str) -> None:
    version("A"), version("B", State.IN_REVIEW), version("C", State.EFFECTIVE), version("C", State.IN_REVIEW)
    version("D", State.IN_REVIEW, uploaded_by="dina"), version("E", State.IN_REVIEW)
    GuidelineVersion.objects.filter(guideline__title="E").update(ingestion=Ingestion.PENDING)
    listed = listing.library(who)
    assert [one.for_me for one in listed] == ["approve" in one.steps for one in listed]
    assert any(one.for_me for one in listed) == (who != "dora")


def test_a_likely_next_version_is_pointed_out_and_joined(page: Client, version: Any) -> None:
    known = version("Safety plan", State.EFFECTIVE)
    new = version("Plan final v2", publisher="", similar_to=known, similarity=0.8)
    assert "Much of it stands in version 1 of “Safety plan”" in read(page, "index")
    said = send(page, "likeness", new.pk, answer="join", like=str(known.pk))
    assert "It is a version of “Safety plan” now." in said
    new.refresh_from_db()
    assert (new.guideline_id, new.number) == (known.guideline_id, 2)
    assert not Guideline.objects.filter(title="Plan final v2").exists()
    assert "It is a guideline of its own now." in send(page, "split", new.pk)


def test_the_line_of_a_joined_version_says_who_submitted_it(page: Client, version: Any) -> None:
    known, new = version("Plan", State.EFFECTIVE), version("Plan for crises", State.IN_REVIEW)
    knowledge.join(new.pk, known.guideline_id, actor="dora")
    line = read(page, "detail", known.guideline_id).partition("Versions")[2].partition("Version 1")[0]
    places = [line.index(part) for part in ("Uploaded", "Submitted for approval", "Made a version of this guideline")]
    assert places == sorted(places)


def test_or_kept_apart_and_not_asked_again(page: Client, version: Any) -> None:
    known = version("Safety plan", State.EFFECTIVE)
    new = version("Other plan", similar_to=known, similarity=0.8)
    send(page, "likeness", new.pk, answer="apart", like=str(known.pk))
    assert "Much of it" not in read(page, "index")
    said = send(page, "likeness", new.pk, answer="join", like=str(known.pk))  # an old page's button
    assert "The library has changed meanwhile" in said
    assert Guideline.objects.count() == 2


def test_the_index_says_how_it_stands(page: Client, version: Any) -> None:
    assert "There is no index of meanings yet" in read(page, "index")
    started = timezone.now() - timedelta(minutes=4)
    long_ago = timezone.now() - timedelta(days=9)
    Index.objects.create(embedder="e5-small", source="e5", state="active", total=812, started_at=long_ago)
    building = Index.objects.create(embedder="bge-m3", source="/models/bge", done=400, total=812, started_at=started)
    said = read(page, "index")
    assert "e5-small" in said
    assert "Passages that answer 0 Last checked not yet" in said
    version("Plan", State.EFFECTIVE), version("Other")
    assert "Passages that answer 2" in read(page, "index")
    assert "400 / 812 · about 4 minutes" in said
    Index.objects.filter(pk=building.pk).update(
        state="failed", error_code="embedder_missing", error_parameters={"folder": "/models/bge"}
    )
    assert "could not be built" in read(page, "index")


def test_the_watched_folder_says_why_a_file_was_left(page: Client, settings: Any, version: Any) -> None:
    settings.HAVRE_WATCH_FOLDER = "/srv/guidelines"
    taken = version("Safety plan")
    FolderFile.objects.create(path="a.pdf", size=9, modified_ns=1, version=taken)
    FolderFile.objects.create(path="b.exe", size=9, modified_ns=1, error_code="empty", error_parameters={"name": "b"})
    said = read(page, "folder")
    assert "Files that are put into /srv/guidelines" in said
    assert "“b” is empty." in said
    only = read(page, "folder", query="?left_out=1")
    assert "a.pdf" not in only
    assert "b.exe" in only


# --- taking in


def test_several_files_at_once_each_with_its_own_end(page: Client, tmp_path: Path) -> None:
    ward = Department.objects.create(name="Ward 3")
    files = [
        SimpleUploadedFile("plan.md", b"# Safety plan\n\nWrite it together with the person."),
        SimpleUploadedFile("same.md", b"# Safety plan\n\nWrite it together with the person."),
        SimpleUploadedFile("nothing.pdf", b""),
        SimpleUploadedFile("program.exe", b"MZ\x00\x00"),
    ]
    response = page.post(
        reverse("guidelines:upload"),
        {"files": files, "publisher": "Ward 3", "language": "fr", "departments": [str(ward.pk)]},
        headers={"accept": "application/json"},
    )
    plan, same, nothing, program = response.json()["files"]
    version = GuidelineVersion.objects.get()
    assert plan["version"] == str(version.pk)
    assert (version.state, version.language, version.uploaded_by) == (State.DRAFT, "fr", "dora")
    assert list(version.guideline.departments.all()) == [ward]
    assert same["known"] == plan["url"] == reverse("guidelines:detail", args=[version.guideline_id])
    assert "is in the library already" in same["error"]
    assert "is empty" in nothing["error"]
    assert "not a document" in program["error"] or "cannot be read" in program["error"]


def test_a_form_without_script_says_the_same(page: Client) -> None:
    assert "No file was chosen." in send(page, "upload")
    said = send(page, "upload", files=SimpleUploadedFile("plan.md", b"# Plan\n\nWrite it."), publisher="P" * 201)
    assert "1 file is being read." in said
    assert "Waiting" in said


@pytest.mark.parametrize("is_checked", [True, False])
def test_more_files_than_a_form_may_have_are_refused_in_words(cast: Cast, is_checked: bool) -> None:
    """Also while the token is looked for, which stands among the files."""
    browser = Client(enforce_csrf_checks=is_checked)
    browser.force_login(cast.dora)  # type: ignore[arg-type]
    browser.cookies["csrftoken"] = "a" * 32
    files = [SimpleUploadedFile(f"plan-{number}.md", b"# Plan") for number in range(101)]
    response = browser.post(reverse("guidelines:upload"), {"files": files})
    html = response.content.decode()
    assert response.status_code == 400
    assert "At most 100 files can be sent with one form." in html
    assert 'href="/"' in html
    assert "could not be understood" not in html
    assert not GuidelineVersion.objects.exists()


def test_a_file_for_some_departments_is_never_taken_in_for_more_people(page: Client) -> None:
    ward = Department.objects.create(name="Ward 3")

    def upload(text: bytes) -> str:
        return send(page, "upload", files=SimpleUploadedFile("plan.md", b"# Plan\n\n" + text), departments=str(ward.pk))

    assert "1 file is being read." in send(page, "upload", files=SimpleUploadedFile("plan.md", b"# Plan\n\nOpen."))
    assert "would be open to more people" in upload(b"For ward 3 alone.")
    Guideline.objects.get().departments.set([ward])
    assert "1 file is being read." in upload(b"For ward 3 alone.")
    Guideline.objects.get().departments.clear()
    ward.delete()  # by somebody else, while the form is open
    assert "was removed meanwhile" in upload(b"Something else.")
    assert "was removed meanwhile" in send(
        page, "upload", files=SimpleUploadedFile("other.md", b"# Other"), departments="nonsense"
    )
    assert GuidelineVersion.objects.count() == 2


@pytest.mark.parametrize("code", ["scan", "damaged"])
def test_a_failure_says_why_and_what_can_be_done(page: Client, version: Any, code: str) -> None:
    one = version(
        "Scan", ingestion=Ingestion.FAILED, error_code=code, error_parameters={"name": "s.pdf", "kind": "pdf"}
    )
    said = read(page, "index")
    assert "could not be read" in said
    assert ("Read it by OCR, as French" in said) == (code == "scan")
    said = send(page, "retry", one.pk, **({"ocr": "fr"} if code == "scan" else {}))
    assert "is being read again" in said
    one.refresh_from_db()
    assert one.ingestion == Ingestion.PENDING
    assert one.ocr_language == ("fr" if code == "scan" else "")


def test_ocr_is_for_scans_and_for_two_languages(page: Client, version: Any) -> None:
    one = version(
        "Plan", ingestion=Ingestion.FAILED, error_code="damaged", error_parameters={"name": "s", "kind": "pdf"}
    )
    send(page, "retry", one.pk, ocr="fr")
    send(page, "retry", one.pk, ocr="de")
    one.refresh_from_db()
    assert one.ingestion == Ingestion.FAILED


def test_progress_tells_steps_and_time(page: Client, version: Any) -> None:
    started = timezone.now() - timedelta(minutes=1)
    first = version("A", ingestion=Ingestion.EMBEDDING, progress_done=100, progress_total=400, step_started_at=started)
    second = version("B", ingestion=Ingestion.PENDING, page_count=None, size=1 << 20)
    found = {one["id"]: one for one in page.get(reverse("guidelines:progress")).json()["versions"]}
    assert found[str(first.pk)]["left"] == "about 3 minutes"
    assert found[str(second.pk)]["left"] == "about 3 minutes"  # and some seconds of its own
    assert (found[str(first.pk)]["done"], found[str(first.pk)]["total"]) == (100, 400)


def test_what_waits_is_judged_by_what_was_read_here(version: Any) -> None:
    now = timezone.now()
    waiting = version("B", ingestion=Ingestion.PENDING, page_count=100)
    assert estimates.queue_left([waiting], now)[waiting.pk] == "about 1 minute"
    version("A", page_count=10, step_started_at=now - timedelta(seconds=60), indexed_at=now)
    assert estimates.seconds_a_page() == pytest.approx(6)
    assert estimates.queue_left([waiting], now)[waiting.pk] == "about 10 minutes"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "less than a minute"), (29, "less than a minute"), (45, "about 1 minute"), (3500, "about 58 minutes"),
     (3600, "about 1 hour"), (9000, "about 2 hours"), (None, "")],
)  # fmt: skip
def test_time_in_words(seconds: int | None, said: str) -> None:
    assert estimates.in_words(None if seconds is None else timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(("done", "total", "seconds"), [(0, 10, 60), (5, 0, 60), (5, 10, 1), (11, 10, 60)])
def test_no_time_is_promised_where_there_is_no_pace(version: Any, done: int, total: int, seconds: int) -> None:
    now = timezone.now()
    one = version(
        "A", ingestion=Ingestion.EMBEDDING, progress_done=done, progress_total=total,
        step_started_at=now - timedelta(seconds=seconds),
    )  # fmt: skip
    assert estimates.time_left(one, now) is None
