"""Citations in a real browser: from a marker to the very words on their page, by pointer, by keyboard, on a phone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.installation import Browser, Installation

pytestmark = [pytest.mark.browser, pytest.mark.stack]
QUESTION = "What are the steps of a safety plan?"
SLOW = 60_000


@pytest.fixture(autouse=True)
def everything_runs(installation: Installation) -> None:
    installation.wait_for_parts(Browser(installation, "anna"))


async def answered(page: Page) -> Any:
    """A turn that has ended; its first citation."""
    await page.fill("textarea", QUESTION)
    await page.press("textarea", "Enter")
    citation = page.locator(".turn").last.locator("[data-part=answer] a.citation").first
    await expect(citation).to_be_visible(timeout=SLOW)
    return citation


async def scrolled(page: Page, selector: str) -> float:
    return float(await page.locator(selector).evaluate("element => element.scrollTop"))


async def test_the_dialog_shows_the_page_with_the_words(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")
    await (await answered(page)).click()
    dialog = page.locator("#citation-dialog")
    image = dialog.locator("img")
    await expect(image).to_be_visible(timeout=SLOW)
    await expect(dialog.locator("[data-part=page-view]")).to_have_attribute("aria-busy", "false", timeout=SLOW)
    assert await image.evaluate("element => element.naturalWidth") > 800
    await expect(dialog.locator("blockquote mark").first).to_be_attached()
    here = await image.get_attribute("src")
    enlarge = dialog.get_by_role("button", name="Enlarge")
    narrow = await image.evaluate("element => element.clientWidth")
    await enlarge.click()
    await expect(enlarge).to_have_attribute("aria-pressed", "true")
    assert await image.evaluate("element => element.clientWidth") > 1.5 * narrow
    await dialog.locator("a[data-page]").last.click()
    await expect(dialog.locator("img")).not_to_have_attribute("src", str(here), timeout=SLOW)
    await expect(dialog.locator("[data-part=pane]")).to_be_focused()
    assert "/chat/turns/" not in page.url  # still the conversation


async def test_by_keyboard_alone(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna", viewport={"width": 1280, "height": 700})
    citation = await answered(page)
    await citation.focus()
    await page.keyboard.press("Enter")
    pane = page.locator("#citation-dialog [data-part=pane]")
    await expect(pane.locator("img")).to_be_visible(timeout=SLOW)
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await pane.evaluate("element => element === document.activeElement"):
            break
    await expect(pane).to_be_focused()
    await page.keyboard.press("Home")
    await page.keyboard.press("End")
    await page.wait_for_timeout(400)
    assert await scrolled(page, "#citation-dialog [data-part=pane]") > 0
    await page.keyboard.press("Escape")
    await expect(page.locator("#citation-dialog")).to_be_hidden()
    await expect(citation).to_be_focused()


async def test_what_cannot_be_drawn_says_so_and_the_words_stay(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")

    async def lost(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/plain; charset=utf-8", body="The file is lost.")

    await page.route("**/*.png*", lost)
    await (await answered(page)).click()
    dialog = page.locator("#citation-dialog")
    await expect(dialog.locator("[data-part=failed]")).to_be_visible(timeout=SLOW)
    await expect(dialog.locator("img")).to_be_hidden()
    assert len(await dialog.locator("blockquote:visible").inner_text()) > 40


async def test_without_the_passages_page_the_words_are_there(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna")

    async def elsewhere(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/html", body="<p>Something else</p>")

    await page.route("**/passages/1/", elsewhere)
    await (await answered(page)).click()
    quote = page.locator("#citation-dialog [data-part=quote]")
    await expect(quote).to_be_visible()
    await page.wait_for_timeout(500)
    await expect(quote).to_be_visible()
    assert len(await quote.inner_text()) > 40


async def test_the_passages_own_page_on_a_phone_in_the_dark(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("anna", viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    citation = await answered(page)
    await page.goto(str(await citation.get_attribute("href")))
    await expect(page.locator("[data-part=page-view]")).to_have_attribute("aria-busy", "false", timeout=SLOW)
    await expect(page.locator("img.page-view__image")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Enlarge").tap()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("[data-part=pane]").evaluate("element => element.scrollWidth > element.clientWidth")
    await page.locator("a[data-page]").last.click()
    await expect(page.locator("img.page-view__image")).to_be_visible(timeout=SLOW)
