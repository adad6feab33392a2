"""Every route with every role: what is not in this table does not exist, and what is not allowed is refused."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from portal.chat.models import Conversation, State, Turn
from tests.conftest import Cast

NOBODY = uuid.UUID("99999999-9999-4999-8999-999999999999")
SHA256 = "9" * 64
SIGN_IN = 302
# name: (method, anonymous, clinician who owns, other clinician, admin, compliance)
TABLE: dict[str, tuple[str, int, int, int, int, int]] = {
    "home": ("get", SIGN_IN, 302, 302, 302, 302),
    "hotlines": ("get", 200, 200, 200, 200, 200),
    "about": ("get", SIGN_IN, 200, 200, 200, 200),
    "status": ("get", SIGN_IN, 200, 200, 200, 200),
    "health": ("get", 200, 200, 200, 200, 200),
    "theme": ("post", 302, 302, 302, 302, 302),
    "set_language": ("post", 302, 302, 302, 302, 302),
    "login": ("get", 200, 302, 302, 302, 302),
    "logout": ("post", 302, 302, 302, 302, 302),
    "password_change": ("get", SIGN_IN, 200, 200, 200, 200),
    "chat:index": ("get", SIGN_IN, 200, 200, 403, 403),
    "chat:conversation": ("get", SIGN_IN, 200, 404, 403, 403),
    "chat:checked": ("post", SIGN_IN, 200, 404, 403, 403),
    "chat:passage": ("get", SIGN_IN, 200, 404, 403, 403),
    "chat:passage_image": ("get", SIGN_IN, 404, 404, 403, 403),
    "story": ("get", SIGN_IN, 403, 403, 403, 200),
    "chat:erasures": ("get", SIGN_IN, 403, 403, 200, 200),
    "chat:ask_erasure": ("post", SIGN_IN, 403, 403, 403, 422),
    "chat:erasure": ("get", SIGN_IN, 403, 403, 404, 404),
    "chat:decide_erasure": ("post", SIGN_IN, 403, 403, 404, 404),
    "chat:set_hold": ("post", SIGN_IN, 403, 403, 403, 422),
    "chat:lift_hold": ("post", SIGN_IN, 403, 403, 403, 404),
    "guidelines:bench": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:ask": ("post", SIGN_IN, 403, 403, 200, 403),
    "guidelines:trial": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:trial_state": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:add_case": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:question_set": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:set_state": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:ask_all": ("post", SIGN_IN, 403, 403, 302, 403),
    "guidelines:import_set": ("post", SIGN_IN, 403, 403, 200, 403),
    "guidelines:export_set": ("post", SIGN_IN, 403, 403, 200, 403),
    "guidelines:remove_case": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:keep_case": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:index": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:upload": ("post", SIGN_IN, 403, 403, 302, 403),
    "guidelines:progress": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:batch": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:folder": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:departments": ("get", SIGN_IN, 403, 403, 200, 403),
    "guidelines:department": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:rename_department": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:remove_department": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:detail": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:describe": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:opening": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:switch": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:retry": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:likeness": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:split": ("post", SIGN_IN, 403, 403, 404, 403),
    "guidelines:page_image": ("get", SIGN_IN, 404, 404, 404, 403),
    "guidelines:passages": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:compare": ("get", SIGN_IN, 403, 403, 404, 403),
    "guidelines:step": ("get", SIGN_IN, 403, 403, 404, 403),
    "safeguards:index": ("get", SIGN_IN, 403, 403, 200, 200),
    "safeguards:detail": ("get", SIGN_IN, 403, 403, 404, 404),
    "safeguards:progress": ("get", SIGN_IN, 403, 403, 404, 404),
    "safeguards:restore": ("post", SIGN_IN, 403, 403, 404, 403),
    "safeguards:write_again": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:cases": ("get", SIGN_IN, 403, 403, 200, 403),
    "safeguards:add_case": ("post", SIGN_IN, 403, 403, 200, 403),
    "safeguards:withdraw_case": ("post", SIGN_IN, 403, 403, 404, 403),
    "safeguards:draft": ("get", SIGN_IN, 403, 403, 302, 403),
    "safeguards:start": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:add_phrase": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:add_hotline": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:edit_hotline": ("get", SIGN_IN, 403, 403, 302, 403),
    "safeguards:change_hotline": ("post", SIGN_IN, 403, 403, 200, 403),
    "safeguards:check_hotline": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:set_regions": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:remove": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:undo": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:discard": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:test": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:send_back": ("post", SIGN_IN, 403, 403, 302, 302),
    "safeguards:ask": ("post", SIGN_IN, 403, 403, 302, 403),
    "safeguards:release": ("post", SIGN_IN, 403, 403, 302, 302),
    "modelcards:index": ("get", SIGN_IN, 403, 403, 200, 403),
    "modelcards:trial": ("get", SIGN_IN, 403, 403, 200, 403),
    "modelcards:card": ("get", SIGN_IN, 200, 200, 200, 200),
    "modelcards:activate": ("post", SIGN_IN, 403, 403, 302, 403),
    "audit:index": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:activity": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:integrity": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:verify": ("post", SIGN_IN, 403, 403, 403, 302),
    "audit:verify_progress": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:export": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:ask_export": ("post", SIGN_IN, 403, 403, 403, 422),
    "audit:export_state": ("get", SIGN_IN, 403, 403, 403, 200),
    "audit:stop_export": ("post", SIGN_IN, 403, 403, 403, 404),
    "audit:download_export": ("get", SIGN_IN, 403, 403, 403, 404),
}
PEOPLE = ("anonymous", "anna", "bela", "dora", "emil")


def every_route() -> set[str]:
    def names(patterns: list[Any], prefix: str) -> set[str]:
        found: set[str] = set()
        for one in patterns:
            if isinstance(one, URLResolver):
                found |= names(one.url_patterns, f"{one.namespace}:" if one.namespace else prefix)
            elif isinstance(one, URLPattern):
                found.add(f"{prefix}{one.name}")
        return found

    return names(get_resolver().url_patterns, "")


def test_the_table_names_every_route() -> None:
    assert every_route() == set(TABLE)


@pytest.fixture
def turn(cast: Cast) -> Turn:
    conversation = Conversation.objects.create(owner=cast.anna, title="Safety plan")
    passage = {
        "marker": 1, "document": "Safety plan", "version": "v1", "page": 2, "page_label": "2", "heading": "Steps",
        "quote": "Write the plan with the person.", "score": 0.8, "url": "/x/", "chunk_id": 1,
        "version_id": str(NOBODY), "guideline_id": str(NOBODY),
    }  # fmt: skip
    return Turn.objects.create(
        conversation=conversation,
        client_ref=uuid.uuid4(),
        question="What are the steps?",
        language="en",
        effort="low",
        state=State.COMPLETED,
        finished_at="2026-01-01T00:00:00Z",
        passages=[passage],
        model={"name": "gpt-oss-20b", "sha256": SHA256, "architecture": "gpt-oss", "quantization": "MXFP4"},
    )


def _ids_of(route: str) -> list[uuid.UUID]:
    """Nobody's id for a route of the library that takes one."""
    name = route.partition(":")[2]
    without = {"index", "upload", "progress", "batch", "folder", "departments"}
    without |= {"bench", "ask", "question_set", "set_state", "ask_all", "import_set", "export_set"}
    return [NOBODY] if route.startswith("guidelines:") and name not in without else []


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("route", sorted(TABLE))
def test_route_and_role(route: str, person: str, turn: Turn) -> None:
    arguments: dict[str, list[Any]] = {
        "chat:conversation": [turn.conversation_id],
        "modelcards:card": [SHA256],
        "modelcards:activate": [SHA256],
        "chat:passage": [turn.id, 1],
        "chat:checked": [turn.id],
        "chat:passage_image": [turn.id, 1, 2],
        "story": [turn.id],
        "chat:erasure": [NOBODY],
        "chat:decide_erasure": [NOBODY],
        "chat:lift_hold": [NOBODY],
        "guidelines:page_image": [NOBODY, 2],
        "guidelines:step": [NOBODY, "approve"],
        "audit:stop_export": [NOBODY],
        "audit:download_export": [NOBODY],
        "safeguards:detail": [NOBODY],
        "safeguards:progress": [NOBODY],
        "safeguards:restore": [NOBODY],
        "safeguards:withdraw_case": [99],
        "safeguards:edit_hotline": ["0a1b2c3d"],
        "safeguards:change_hotline": ["0a1b2c3d"],
        "safeguards:check_hotline": ["0a1b2c3d"],
    }
    client = Client()
    if person != "anonymous":
        from portal.accounts.models import User

        client.force_login(User.objects.get(username=person))
    method, *expected = TABLE[route]
    response = getattr(client, method)(reverse(route, args=arguments.get(route, _ids_of(route))))
    assert response.status_code == expected[PEOPLE.index(person)]
    if person == "anonymous" and response.status_code == SIGN_IN and route not in {"theme", "set_language", "logout"}:
        assert response["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("route", [name for name, row in TABLE.items() if row[0] == "post"])
def test_changes_need_a_post_with_a_token(route: str, cast: Cast) -> None:
    with_id = {"safeguards:restore", "audit:stop_export", "chat:checked", "chat:decide_erasure", "chat:lift_hold"}
    arguments: list[Any] = [NOBODY] if route in with_id else _ids_of(route)
    arguments = [99] if route == "safeguards:withdraw_case" else arguments
    arguments = ["0a1b2c3d"] if route in {"safeguards:change_hotline", "safeguards:check_hotline"} else arguments
    arguments = [SHA256] if route == "modelcards:activate" else arguments
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.dora)
    assert client.post(reverse(route, args=arguments)).status_code == 403
    if route != "set_language":  # Django's own view answers a GET by going back, and changes nothing
        assert client.get(reverse(route, args=arguments)).status_code == 405


def test_a_deactivated_person_is_out_at_once(client: Client, cast: Cast) -> None:
    client.force_login(cast.anna)
    assert client.get(reverse("chat:index")).status_code == 200
    type(cast.anna).objects.filter(pk=cast.anna.pk).update(is_active=False)
    assert client.get(reverse("chat:index")).status_code == 302


def test_pages_carry_the_browser_security_headers(client: Client, cast: Cast) -> None:
    client.force_login(cast.anna)
    response = client.get(reverse("chat:index"))
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_theme_never_redirects_elsewhere(client: Client) -> None:
    response = client.post(reverse("theme"), {"theme": "dark", "next": "https://elsewhere.example/"})
    assert response["Location"] == "/"
    assert response.cookies["theme"].value == "dark"
    assert "theme" not in client.post(reverse("theme"), {"theme": "<script>"}).cookies
