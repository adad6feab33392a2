"""What a citation opens: the very words on their page, whatever has become of the guideline, and for nobody else."""

import fcntl
import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

import guardrails
import knowledge
from knowledge import citations, pages
from knowledge.citations import Quotation
from knowledge.ingestion._reading import stored_file
from knowledge.models import Chunk, Department, GuidelineVersion, Page
from portal.chat import citing
from portal.chat.models import Conversation, State, Turn
from portal.chat.retrieving import _snapshot
from portal.chat.sources import page_name, standing_note
from portal.chat.stored import public_passage
from tests.conftest import Cast

SAMPLES = Path(settings.BASE_DIR) / "knowledge" / "samples"
SAID = "The crisis need not be spoken of in this step."  # on page 2
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def version(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuidelineVersion]:
    """The English sample protocol of three pages, in force, for the tests of this module."""
    folder = tmp_path_factory.mktemp("citations")
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        path = SAMPLES / "safety-plan-en-sample-protocol.pdf"
        made = knowledge.add_version(path, filename=path.name, title="Safety plan", uploaded_by="dora")
        knowledge.ingest(made.pk)
        GuidelineVersion.objects.filter(pk=made.pk).update(state="effective", effective_from=timezone.now())
        yield GuidelineVersion.objects.get(pk=made.pk)
        knowledge.close()
        transaction.set_rollback(True)


def kept(version: GuidelineVersion, chunk: Chunk, marker: int = 1, **changed: Any) -> dict[str, Any]:
    """What a turn keeps of a chunk that was found."""
    passage = knowledge.Passage(
        chunk_id=chunk.pk, version_id=version.pk, guideline_id=version.guideline_id, document="Safety plan",
        version=version.label, page=chunk.page, last_page=chunk.last_page, start=chunk.start, end=chunk.end,
        page_label=chunk.page_label, heading=chunk.heading, text=chunk.text, score=0.9, language="en",
    )  # fmt: skip
    found = knowledge.Retrieval((passage,), covered=True, query="?", confidence=0.9, embedder="minilm")
    (pages,) = citations.page_starts([passage])
    return _snapshot(Turn(id=uuid.uuid4()), marker, passage, pages, found) | changed


def cited(passages: list[dict[str, Any]], markers: list[int], answer: str) -> list[dict[str, Any]]:
    """The citations of an answer that a screen has read."""
    screen = guardrails.OutputScreen((), language="en", embed=guardrails.sentence_encoder())
    return citing.citations(passages, markers, answer, screen.resting_places)


@pytest.fixture
def turn(cast: Cast, version: GuidelineVersion) -> Turn:
    """Anna's turn, which cites the passage of page 2 with SAID in it."""
    chunk = next(one for one in Chunk.objects.filter(version=version, page=2) if SAID in one.text)
    passage = kept(version, chunk)
    return Turn.objects.create(
        conversation=Conversation.objects.create(owner=cast.anna, title="Safety plan"),
        client_ref=uuid.uuid4(), question="Is the crisis spoken of?", language="en", effort="low",
        state=State.COMPLETED, finished_at=timezone.now(), passages=[passage], answer=f"{SAID[:-1]} [1].",
        citations=cited([passage], [1], f"{SAID[:-1]} [1]."),
    )  # fmt: skip


def url(turn: Turn) -> str:
    return reverse("chat:passage", args=[turn.id, 1])


def image_url(turn: Turn, page: int = 2) -> str:
    return reverse("chat:passage_image", args=[turn.id, 1, page])


def words_on(version: GuidelineVersion, page: int, words: str) -> tuple[int, int]:
    start = Page.objects.get(version=version, number=page).text.index(words)
    return start, start + len(words)


def picture(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


def share_of_yellow(image: Any, box: tuple[float, float, float, float], blue: int) -> float:
    """How much of a place (points) is marked: light, and with less blue than `blue`."""
    area = image.crop(tuple(round(edge * pages.SCALE) for edge in box))
    colours = area.tobytes()
    pixels = [colours[at : at + 3] for at in range(0, len(colours), 3)]
    marked = [one for one in pixels if one[0] > 200 and one[1] > 170 and one[2] < blue]
    return len(marked) / (area.width * area.height)


def emptied() -> Path:
    """The folder of pictures, without any."""
    folder = Path(settings.HAVRE_DATA_DIR) / "pages"
    folder.mkdir(mode=0o700, exist_ok=True)
    for one in folder.glob("*.png"):
        one.unlink()
    return folder


def test_the_very_words_are_marked_more_strongly_than_the_rest(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion
) -> None:
    client.force_login(cast.anna)
    response = client.get(image_url(turn))
    assert response["Content-Type"] == "image/png"
    image = picture(response.content)
    page = Page.objects.get(version=version, number=2)
    boxes = knowledge.parsing.unpack_boxes(page.boxes)
    (exact,) = knowledge.parsing.boxes_of(boxes, *words_on(version, 2, SAID))
    beside = knowledge.parsing.boxes_of(boxes, *words_on(version, 2, "Write down people with whom"))[0]
    title = knowledge.parsing.boxes_of(boxes, *words_on(version, 2, "The steps of a safety plan"))[0]
    assert share_of_yellow(image, exact, blue=110) > 0.5
    assert share_of_yellow(image, beside, blue=110) < 0.1 < 0.5 < share_of_yellow(image, beside, blue=210)
    assert "The steps of a safety plan" not in turn.passages[0]["quote"]
    assert share_of_yellow(image, title, blue=210) < 0.05  # the edges of letters have colours


@pytest.mark.parametrize(("page", "status"), [(1, 200), (2, 200), (3, 200), (0, 404), (4, 404), (10**9, 404)])
def test_pages_of_the_passage_and_beside_it(client: Client, cast: Cast, turn: Turn, page: int, status: int) -> None:
    client.force_login(cast.anna)
    assert client.get(image_url(turn, page)).status_code == status
    assert client.get(url(turn), {"page": page}).status_code == status


@pytest.mark.parametrize("wanted", ["two", "-1", "2.0", "²", "9" * 5000])
def test_a_page_that_is_no_number(client: Client, cast: Cast, turn: Turn, wanted: str) -> None:
    client.force_login(cast.anna)
    assert client.get(url(turn), {"page": wanted}).status_code == 404


def test_a_tag_spares_the_picture_but_not_the_check(client: Client, cast: Cast, turn: Turn) -> None:
    client.force_login(cast.anna)
    first = client.get(image_url(turn))
    assert "no-store" in first["Cache-Control"]
    assert "private" in first["Cache-Control"]
    tag = {"If-None-Match": first["ETag"]}
    again = client.get(image_url(turn), headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    client.force_login(cast.bela)
    assert client.get(image_url(turn), headers=tag).status_code == 404


def test_pictures_are_kept_up_to_a_bound(
    client: Client, cast: Cast, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(cast.anna)
    folder = emptied()
    assert client.get(image_url(turn)).status_code == 200
    monkeypatch.setattr("knowledge.parsing.page_image", lambda *a, **k: pytest.fail("drawn again"))
    assert client.get(image_url(turn)).status_code == 200
    assert folder.stat().st_mode & 0o077 == 0
    with override_settings(HAVRE_PAGE_CACHE_MB=0):
        monkeypatch.setattr("knowledge.parsing.page_image", lambda *a, **k: b"\x89PNG")
        assert client.get(image_url(turn, 1)).content == b"\x89PNG"
    assert list(folder.glob("*.png")) == []


def test_two_pages_are_drawn_at_once_and_no_more(
    client: Client, cast: Cast, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(cast.anna)
    monkeypatch.setattr(pages, "_PATIENCE_SECONDS", 0.1)
    folder = emptied()
    held = [(folder / f".drawing-{number}.lock").open("w") for number in range(2)]
    for file in held:
        fcntl.flock(file, fcntl.LOCK_EX)
    busy = client.get(image_url(turn, 3))
    assert (busy.status_code, busy["Retry-After"]) == (503, "5")
    assert "try again" in busy.content.decode()
    held[1].close()
    assert client.get(image_url(turn, 3)).status_code == 200
    held[0].close()


def test_a_lost_file_costs_the_picture_and_not_the_words(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion
) -> None:
    client.force_login(cast.anna)
    path = stored_file(version)
    aside = path.rename(path.with_suffix(".aside"))
    try:
        response = client.get(image_url(turn))
        assert (response.status_code, response["Content-Type"]) == (410, "text/plain; charset=utf-8")
        assert version.filename in response.content.decode()
        page = client.get(url(turn)).content.decode()
        assert "is no longer there" in page
        assert SAID in page
        assert "page-view" not in page
    finally:
        aside.rename(path)


def test_only_its_owner_opens_a_citation(client: Client, cast: Cast, turn: Turn) -> None:
    for person, status in ((cast.anna, 200), (cast.bela, 404), (cast.dora, 403), (cast.emil, 403)):
        client.force_login(person)
        assert client.get(url(turn)).status_code == status
        assert client.get(image_url(turn)).status_code == status
    client.force_login(cast.anna)
    assert client.get(reverse("chat:passage_image", args=[turn.id, 2, 2])).status_code == 404  # no such marker


def test_a_guideline_that_went_to_another_department_closes(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion
) -> None:
    client.force_login(cast.anna)
    ward = Department.objects.create(name="Adolescents")
    version.guideline.departments.add(ward)
    assert client.get(url(turn)).status_code == 404
    assert client.get(image_url(turn)).status_code == 404
    cast.anna.departments.add(ward)
    assert client.get(url(turn)).status_code == 200
    assert client.get(image_url(turn)).status_code == 200


def test_pages_of_a_version_by_its_id(client: Client, cast: Cast, version: GuidelineVersion) -> None:
    address = reverse("guidelines:page_image", args=[version.pk, 2])
    start, end = words_on(version, 2, SAID)
    for person, status in ((cast.dora, 200), (cast.anna, 200), (cast.emil, 403)):
        client.force_login(person)
        assert client.get(address, {"start": start, "end": end}).status_code == status
    client.force_login(cast.dora)
    marked = client.get(address, {"start": start, "end": end}).content
    assert marked != client.get(address).content
    for wrong in ({"start": "x"}, {"start": "-1"}, {"end": "9" * 20}):
        assert client.get(address, wrong).status_code == 404
    assert client.get(address, {"start": end, "end": start}).status_code == 200  # nothing to mark
    assert client.get(reverse("guidelines:page_image", args=[version.pk, 9])).status_code == 404
    GuidelineVersion.objects.filter(pk=version.pk).update(state="draft")
    assert client.get(address).status_code == 200
    client.force_login(cast.anna)
    assert client.get(address).status_code == 404


def successor(version: GuidelineVersion) -> None:
    GuidelineVersion.objects.filter(pk=version.pk).update(state="superseded")
    GuidelineVersion.objects.create(
        guideline=version.guideline, number=2, filename="b.pdf", media_type="application/pdf", sha256="b", size=1,
        state="effective", ingestion="indexed", effective_from=timezone.now(),
    )  # fmt: skip


def changed(**fields: Any) -> Any:
    return lambda version: GuidelineVersion.objects.filter(pk=version.pk).update(**fields)


def gone(version: GuidelineVersion) -> None:
    version.chunks.all().delete()
    Page.objects.filter(version=version).delete()
    GuidelineVersion.objects.filter(pk=version.pk).delete()


def switched_off(version: GuidelineVersion) -> None:
    version.guideline.enabled = False
    version.guideline.save()


YESTERDAY = timezone.now() - timedelta(days=1)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda version: None, ""),
        (successor, "superseded by version 2 on"),
        (changed(state="expired", expires_at=YESTERDAY), "it expired on"),
        (changed(expires_at=YESTERDAY), "it expired on"),  # the clock decides, not who writes the state down
        (changed(state="archived", archived_at=YESTERDAY), "archived on"),
        (changed(state="draft"), "its approval was taken back"),
        (changed(state="approved", effective_from=timezone.now() + timedelta(days=1)), "Not in force before"),
        (changed(state="superseded"), "Not in force now."),  # and what took its place was taken back
        (switched_off, "This guideline is switched off"),
        (gone, "This version is no longer in the library"),
    ],
)
def test_the_words_stay_and_the_page_says_what_became_of_the_version(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion, happens: Any, said: str
) -> None:
    client.force_login(cast.anna)
    happens(version)
    page = client.get(url(turn)).content.decode()
    assert f'<mark class="exact">{SAID}</mark>' in page
    note = standing_note(citations.standing(version.pk))
    assert (said in note) if said else note == ""
    assert (note in page) if note else "What the answer used is shown" not in page
    assert (client.get(image_url(turn)).status_code == 200) is (happens is not gone)


def test_a_turn_from_before_places_were_kept_opens(client: Client, cast: Cast, turn: Turn) -> None:
    old = {"marker", "document", "version", "page", "page_label", "heading", "quote", "score", "url", "chunk_id"}
    old |= {"version_id", "guideline_id"}
    turn.passages = [{name: turn.passages[0][name] for name in old}]
    turn.citations = [public_passage(turn.passages[0])]
    turn.save()
    client.force_login(cast.anna)
    page = client.get(url(turn)).content.decode()
    assert SAID in page
    assert 'data-marked-from="' in page
    assert client.get(image_url(turn)).status_code == 200


def test_words_are_found_again_after_the_text_was_read_anew(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion
) -> None:
    client.force_login(cast.anna)
    page = Page.objects.get(version=version, number=2)
    page.text = "A line that was not read before\n" + page.text.replace("spoken of", "spo- ken  of")
    page.save()
    (place,) = citations.places(Quotation(version.pk, SAID, 2, start=10))
    assert page.text[place.start : place.end] == SAID.replace("spoken of", "spo- ken  of")
    page.text = "Another text altogether."
    page.save()
    shown = client.get(url(turn)).content.decode()
    assert SAID in shown
    assert "Where the words stand on this page is not known." in shown
    assert client.get(image_url(turn)).status_code == 200


def over_the_edge(version: GuidelineVersion) -> dict[str, Any]:
    """A passage from the end of page 1 to the beginning of page 2."""
    first, second = (Page.objects.get(version=version, number=number) for number in (1, 2))
    start, end = first.text.rindex("The authors' form"), second.text.index("1. Step 1")
    chunk = Chunk.objects.filter(version=version).first()
    assert chunk
    chunk.page, chunk.last_page, chunk.start, chunk.end, chunk.page_label = 1, 2, start, end, "i"
    chunk.text = f"{first.text[start:]}\n{second.text[:end]}".rstrip()
    return kept(version, chunk)


_WORDS = {
    1: "The authors' form and training are to be had from them, and their form may not be used without their "
    "permission.",
    2: "A safety plan has six steps, written down in the patient's own words.",
}


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        ("Their form may not be used without their permission [1].", 1),
        ("A safety plan has six steps, written down in the patient's own words [1].", 2),
        ("Un plan de sécurité comporte six étapes [1].", 2),
    ],
)
def test_a_citation_names_the_page_of_its_words(
    client: Client, cast: Cast, turn: Turn, version: GuidelineVersion, answer: str, page: int
) -> None:
    passage = over_the_edge(version)
    assert [one["number"] for one in passage["pages"]] == [1, 2]
    turn.passages, turn.citations = [passage], cited([passage], [1], answer)
    turn.save()
    (citation,) = turn.citations
    assert citation["page"] == page
    assert {one[2] for one in citation["exact"]} == {page}
    client.force_login(cast.anna)
    shown = client.get(url(turn)).content.decode()
    assert f"/pages/{page}.png" in shown
    assert "page 1 to page 2" in shown.replace(page_name(1, "1"), "page 1")
    words = " ".join(passage["quote"][start:end] for start, end, _ in citation["exact"])
    assert words == _WORDS[page]


def test_what_is_not_supported_marks_nothing(version: GuidelineVersion) -> None:
    passage = over_the_edge(version)
    (citation,) = cited([passage], [1], "Plans are written in crayon [?] [1]. Nothing here either.")
    assert (citation["exact"], citation["page"]) == ([], 1)


def test_each_marker_gets_the_sentences_of_its_own(version: GuidelineVersion) -> None:
    chunks = [Chunk.objects.filter(version=version, page=page).first() for page in (1, 3)]
    passages = [kept(version, chunk, marker) for marker, chunk in enumerate(chunks, 1) if chunk]
    answer = "Ask every patient directly whether there are means of suicide at home [2]. This is a sample document [1]."
    first, second = cited(passages, [1, 2], answer)
    assert "sample document" in first["quote"][slice(*first["exact"][0][:2])]
    assert "means of suicide at home" in second["quote"][slice(*second["exact"][0][:2])]
