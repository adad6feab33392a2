"""A facility's own word, in a real browser: written, tested, read, released by somebody else, heard in the chat."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.test_chat_page import SLOW, ask
from tests.installation import Browser, Installation

pytestmark = [pytest.mark.browser, pytest.mark.stack]
SENTENCE = "The sunflower plan is on"


@pytest.fixture(autouse=True)
def everything_runs(installation: Installation) -> None:
    installation.wait_for_parts(Browser(installation, "dora"))


async def test_a_word_is_written_tested_released_by_another_and_then_fires(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.get_by_role("link", name="Safeguards").first.click()
    await page.get_by_role("button", name="Start a draft").click()
    await page.fill("input[name=phrase]", "...")
    await page.get_by_role("button", name="Add the phrase").click()
    await expect(page.locator("#phrases .field__error")).to_contain_text("at least one word")
    await page.fill("input[name=phrase]", "sunflower plan")
    await page.select_option("select[name=category]", "third_person_emergency")
    await page.press("input[name=phrase]", "Enter")
    await expect(page.locator("#phrases table")).to_contain_text("sunflower plan")
    await page.locator("#phrases button", has_text="sunflower plan").click()
    await expect(page.locator("#phrases .empty-state")).to_be_visible()
    await page.get_by_role("button", name="Undo the last removal").click()
    await expect(page.locator("#phrases table")).to_contain_text("sunflower plan")
    await page.fill("#note", "The ward's own alarm")
    await page.get_by_role("button", name="Test this draft").click()
    await expect(page.get_by_role("heading", name="Newly fires")).to_be_visible(timeout=3 * SLOW)
    await page.get_by_role("button", name="Ask for release").click()
    await page.get_by_role("link", name="Read the report and decide").click()
    await expect(page.locator("main")).to_contain_text("a second person has to release it")
    await expect(page.get_by_role("button", name="Release it")).to_have_count(0)

    clinician = await sign_in("anna")
    await ask(clinician, SENTENCE)
    await expect(clinician.locator(".turn").last).to_be_visible()
    await expect(clinician.locator(".crisis")).to_have_count(0)

    other = await sign_in("emil")
    await other.get_by_role("link", name="Safeguards").first.click()
    await other.get_by_role("link", name="Read the report and decide").click()
    await other.get_by_role("button", name="Release it").click()
    await expect(other.locator("#notices")).to_contain_text("Released")

    again = await sign_in("bela")
    await ask(again, SENTENCE)
    await expect(again.locator('.crisis[data-level="third_party"]')).to_be_visible(timeout=10_000)
