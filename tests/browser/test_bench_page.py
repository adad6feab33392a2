"""The test bench, in a real browser: a question tried, what should have been found picked, the set asked, undone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.test_chat_page import SLOW
from tests.installation import Browser, Installation

pytestmark = [pytest.mark.browser, pytest.mark.stack]
QUESTION = "Which warning signs begin a safety plan?"


@pytest.fixture(autouse=True)
def everything_runs(installation: Installation) -> None:
    installation.wait_for_parts(Browser(installation, "dora"))


async def test_a_question_is_tried_and_becomes_a_case_by_keyboard(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora", viewport={"width": 390, "height": 844})
    await page.goto("/guidelines/")
    await page.get_by_role("link", name="Test bench").click()
    await page.get_by_label("Question", exact=True).fill(QUESTION)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#verdict")).to_be_visible(timeout=SLOW)  # the page draws itself anew, nobody reloads it
    first = page.locator(".bench-row").first
    await expect(first).to_contain_text("Safety plan")
    assert await first.locator(".scores progress").count() == 3
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    await page.get_by_label("Words of the passage").fill("steps surroundings")
    await page.keyboard.press("Enter")
    place = page.locator("#should .bench-row").first
    await expect(place).to_contain_text("Safety plan")
    await place.get_by_role("button", name="This should have been found").press("Enter")
    await expect(page.locator("#notices")).to_contain_text("a case of the question set")

    await page.get_by_role("link", name="The whole question set").click()
    row = page.locator("tbody tr", has_text=QUESTION)
    await page.get_by_role("button", name="Ask them all").press("Enter")
    await expect(row).to_contain_text("lace ", timeout=SLOW)
    await expect(page.locator("#bench-wait")).to_have_count(0, timeout=SLOW)

    await row.get_by_role("button", name="Remove").press("Enter")
    await expect(row).to_have_count(0)
    await page.get_by_role("button", name="Undo").press("Enter")
    await expect(row).to_be_visible()


async def test_choosing_a_department_asks_as_somebody_of_it(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.goto("/guidelines/departments/")
    await page.fill("input[name=name]", "Day clinic")
    await page.press("input[name=name]", "Enter")
    await expect(page.get_by_role("heading", name="Day clinic")).to_be_visible()
    await page.goto("/guidelines/bench/")
    await page.get_by_label("Question", exact=True).fill(QUESTION)
    await page.get_by_text("In a conversation, or as somebody of a department").click()
    await page.get_by_label("Day clinic").check()
    await expect(page.locator("input[value=somebody]")).to_be_checked()
    await page.get_by_role("button", name="Try this question").click()
    await expect(page.locator("main")).to_contain_text("as somebody of Day clinic")
    await expect(page.locator("#verdict")).to_be_visible(timeout=SLOW)
