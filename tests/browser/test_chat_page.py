"""The chat page in a real browser: what a clinician sees and does."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.installation import Browser, Installation

pytestmark = [pytest.mark.browser, pytest.mark.stack]
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"
SLOW = 60_000


@pytest.fixture(autouse=True)
def everything_runs(installation: Installation) -> None:
    installation.wait_for_parts(Browser(installation, "anna"))


async def ask(page: Page, text: str) -> None:
    await page.fill("textarea", text)
    await page.press("textarea", "Enter")


async def test_a_question_streams_and_its_citation_opens(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await ask(page, QUESTION)
    turn = page.locator(".turn").last
    await expect(turn.locator("[data-part=question]")).to_have_text(QUESTION)
    await expect(turn.locator("[data-part=passages] > li").first).to_be_attached(timeout=SLOW)
    citation = turn.locator("[data-part=answer] a.citation").first
    await expect(citation).to_be_visible(timeout=SLOW)
    await citation.click()
    dialog = page.locator("#citation-dialog")
    await expect(dialog).to_be_visible()
    await expect(dialog.locator("[data-part=document]")).to_contain_text("afety plan")
    await expect(dialog.locator("[data-part=place]")).to_contain_text(re.compile(r"v1.*\d"))
    quote = await dialog.locator("[data-part=quote]").inner_text()
    assert len(quote) > 40
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await citation.click()
    await dialog.locator("[data-part=open]").click()
    await expect(page.locator("main")).to_contain_text(quote[:40].strip())


async def test_stop_keeps_what_was_shown(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await ask(page, ENDLESS)
    turn = page.locator(".turn").last
    await expect(turn.locator("[data-part=growing]")).not_to_be_empty(timeout=SLOW)
    await page.get_by_role("button", name="Stop").click()
    await expect(turn.locator("[data-part=outcome]")).to_contain_text("topped", timeout=10_000)
    await expect(turn.locator("[data-part=answer]")).not_to_be_empty()


async def test_reload_and_second_tab_continue_the_same_answer(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await ask(page, ENDLESS)
    await expect(page.locator(".turn [data-part=growing]").last).not_to_be_empty(timeout=SLOW)
    await page.reload()
    await expect(page.locator(".turn")).to_have_count(1)
    await expect(page.locator(".turn [data-part=growing]")).not_to_be_empty(timeout=SLOW)
    second = await page.context.new_page()
    await second.goto(page.url)
    await expect(second.locator(".turn [data-part=growing]")).not_to_be_empty(timeout=SLOW)
    before = await second.locator(".turn [data-part=growing]").inner_text()
    await expect(second.locator(".turn [data-part=growing]")).not_to_have_text(before, timeout=SLOW)
    await second.get_by_role("button", name="Stop").click()
    for tab in (page, second):
        await expect(tab.locator(".turn [data-part=outcome]")).to_be_visible(timeout=10_000)
        await expect(tab.locator(".turn")).to_have_count(1)
    assert (
        await page.locator(".turn [data-part=answer]").inner_text()
        == await second.locator(".turn [data-part=answer]").inner_text()
    )


async def test_a_crisis_shows_the_card_with_everything_else_stopped(
    sign_in: Callable[..., Any], installation: Installation
) -> None:
    page = await sign_in("anna")
    await expect(page.locator("textarea")).to_be_enabled()
    for name in ("inference", "knowledge", "valkey"):
        installation.pause(name)
    try:
        await ask(page, "I want to kill myself tonight")
        card = page.locator(".crisis").last
        await expect(card).to_be_visible(timeout=10_000)
        for number in ("3114", "15", "112"):
            await expect(card.locator(f'a[href="tel:{number}"]').first).to_be_visible()
        await expect(page.locator("textarea")).to_be_enabled()
    finally:
        for name in ("valkey", "knowledge", "inference"):
            installation.go_on(name)


async def test_french_and_dark_and_a_phone(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna", locale="fr-FR", color_scheme="dark", viewport={"width": 360, "height": 700})
    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    await ask(page, "Quelles sont les étapes d'un plan de sécurité ?")
    await expect(page.locator(".turn [data-part=answer]").last).not_to_be_empty(timeout=SLOW)
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, "the page scrolls sideways on a phone"


async def test_keyboard_alone(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await page.keyboard.press("Tab")
    skip = page.locator(":focus")
    await expect(skip).to_have_attribute("href", re.compile("^#"))
    await page.locator("textarea").focus()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    assert await page.input_value("textarea") == "one\ntwo"
    await page.fill("textarea", QUESTION)
    await page.keyboard.press("Enter")
    await expect(page.locator(".turn [data-part=answer]").last).not_to_be_empty(timeout=SLOW)
    await expect(page.locator("textarea")).to_be_focused()


async def test_an_admin_uploads_a_guideline_and_watches_it_arrive(sign_in: Callable[..., Any], tmp_path: Any) -> None:
    page = await sign_in("dora")
    file = tmp_path / "Wombat protocol.md"
    file.write_text("# Wombat protocol\n\nThe wombat therapy animal visits the ward on Friday mornings.\n")
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    await page.set_input_files("input[type=file]", [file, empty])
    submit = page.locator("form[enctype] button[type=submit]")
    if await submit.is_visible():
        await submit.click()
    await expect(page.locator("main")).to_contain_text("empty", timeout=SLOW)
    # Twice on the page once it is read: in the list of files just given, and in the library below it.
    library = page.locator("#guideline-list")
    await expect(library.get_by_role("link", name="Wombat protocol").first).to_be_visible(timeout=SLOW)


async def test_a_compliance_officer_finds_and_takes_away_events(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("emil")
    await expect(page.locator("table")).to_contain_text("session.signed_in")
    await page.locator('a[href*="/audit/export/"]').first.click()
    await page.select_option("select[name=format]", "jsonl")
    await page.get_by_role("button", name="Write the export").click()
    ready = page.get_by_role("link", name="Download").first
    await expect(ready).to_be_visible(timeout=SLOW)
    async with page.expect_download() as download:
        await ready.click()
    path = await (await download.value).path()
    kinds = [json.loads(line)["event"]["kind"] for line in path.read_text().splitlines()]
    assert {"session.signed_in", "audit.exported"} <= set(kinds)


async def test_a_crisis_does_not_wait_for_the_answer_that_runs(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await ask(page, ENDLESS)
    await expect(page.locator(".turn [data-part=growing]").last).not_to_be_empty(timeout=SLOW)
    await ask(page, "And what about discharge?")
    await expect(page.locator("[data-part=problem]")).to_be_visible()
    assert await page.input_value("textarea") == "And what about discharge?"
    await ask(page, "I want to kill myself tonight")
    await expect(page.locator(".crisis h3")).to_be_in_viewport(timeout=10_000)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=10_000)


async def test_quotations_may_be_chosen_by_keyboard_and_say_what_they_are(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await page.get_by_label("Quote the guidelines, no language model").focus()
    await page.keyboard.press("Space")
    await expect(page.locator("select[name=effort]")).to_be_disabled()
    await ask(page, QUESTION)
    turn = page.locator(".turn").last
    await expect(turn.get_by_role("heading", name="No language model was used")).to_be_visible(timeout=SLOW)
    await expect(turn.locator("[data-part=quoted-why]")).to_have_text("You chose quotations.")
    quoted = turn.locator("[data-part=answer] blockquote").first
    await expect(turn.locator("[data-part=answer]")).to_contain_text("A safety plan has six steps")
    words = (await quoted.locator("p").first.inner_text()).strip()
    citation = turn.locator("[data-part=answer] a.citation").first
    await citation.click()
    await expect(page.locator("#citation-dialog mark").first).to_contain_text(words[:40], timeout=SLOW)
    await page.keyboard.press("Escape")
    await page.reload()
    await expect(page.locator(".turn [data-part=quoted]")).to_be_visible()
    await expect(page.locator(".turn [data-part=answer] blockquote").first).to_contain_text(words)
