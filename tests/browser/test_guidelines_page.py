"""The library in a real browser: files dropped and sent one by one, a version approved by a second person, passages
beside their page, two versions compared by keyboard, filters and switches that stay on the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.browser.test_chat_page import SLOW
from tests.conftest import PASSWORD
from tests.installation import Browser, Installation

pytestmark = [pytest.mark.browser, pytest.mark.stack]
FIRST = (
    "# Sunflower protocol\n\n## Steps\n\nAsk the person every day how they slept.\n\n"
    "## Ward\n\nThe key hangs at the door.\n"
)
SECOND = FIRST.replace("every day", "twice a day")


@pytest.fixture(autouse=True, scope="module")
def a_second_administrator(installation: Installation) -> None:
    installation.manage("create_user", "dina", "--role", "admin", "--password-stdin", stdin=PASSWORD + "\n")
    installation.wait_for_parts(Browser(installation, "dora"))


def file(name: str, text: str) -> FilePayload:
    return {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}


async def send(page: Page, *files: FilePayload) -> None:
    """Choose files and send them, in the library."""
    await page.goto("/guidelines/")
    await page.set_input_files("#files", list(files))
    await page.get_by_role("button", name="Upload").click()


async def test_files_are_sent_one_by_one_and_each_says_how_it_ends(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.goto("/guidelines/")
    await expect(page.get_by_role("button", name="Upload")).to_be_hidden()
    await page.set_input_files(
        "#files", [file("sunflower.md", FIRST), file("left-out.md", "# Left out"), file("empty.md", "")]
    )
    await page.get_by_role("button", name="Leave out: left-out.md").click()
    await page.get_by_role("button", name="Upload").click()
    lines = page.locator("#chosen-files li")
    await expect(lines).to_have_count(2)
    await expect(lines.first).to_contain_text("It is a draft until it is approved", timeout=3 * SLOW)
    await expect(lines.first.get_by_role("link", name="Sunflower protocol")).to_be_visible()
    await expect(lines.last).to_contain_text("is empty")
    row = page.locator("#guideline-list tr", has_text="Sunflower protocol")
    await expect(row).to_contain_text("Draft")  # drawn anew without loading the page
    await page.set_input_files("#files", [file("again.md", FIRST)])
    await page.get_by_role("button", name="Upload").click()
    await expect(
        page.locator("#chosen-files li").last.get_by_role("link", name="Open the one that is there")
    ).to_be_visible()


async def test_a_version_answers_once_a_second_person_says_so(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.goto("/guidelines/?q=sunflower")
    await page.locator("tr", has_text="Sunflower").get_by_role("checkbox").check()
    await expect(page.locator("#batch-count")).to_have_text("1 chosen")
    await page.get_by_role("button", name="Submit the chosen ones").click()
    await expect(page.locator("#notices")).to_contain_text("1 version was submitted.")
    assert "q=sunflower" in page.url
    other = await sign_in("dina")
    await other.goto("/guidelines/?mine=on")
    await other.get_by_role("link", name=re.compile("Approve.*Sunflower protocol")).click()
    await other.get_by_role("button", name="Approve").click()
    await expect(other.locator("h1 + div")).to_contain_text("Version 1 answers")
    await other.get_by_role("link", name="Undo").click()
    await expect(other.locator(".consequences")).to_contain_text("No version of this guideline answers then.")
    await other.fill("textarea[name=note]", "It was only tried.")
    await other.get_by_role("button", name="Take the approval back").click()
    await expect(other.locator("h1 + div")).to_contain_text("No version in force")
    await expect(other.locator(".timeline")).to_contain_text("It was only tried.")


async def test_what_is_new_in_the_next_version(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await send(page, file("sunflower.md", SECOND))
    link = page.locator("#chosen-files").get_by_role("link", name="Sunflower protocol")
    await expect(page.locator("#chosen-files")).to_contain_text("It is a draft until", timeout=3 * SLOW)
    await link.click()
    await page.get_by_role("link", name="Compare with version 1").click()
    await expect(page.locator("del")).to_contain_text("every")
    await expect(page.locator("ins")).to_contain_text("twice a")
    await page.keyboard.press("n")
    await expect(page.locator("h3:focus")).to_contain_text("Steps")
    folded = page.locator("details.unchanged", has_text="Ward")
    await expect(folded.get_by_text("The key hangs")).to_be_hidden()
    await folded.locator("summary").click()
    await expect(folded.get_by_text("The key hangs")).to_be_visible()


async def test_a_passage_is_marked_on_its_page(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora", viewport={"width": 390, "height": 844})
    await page.goto("/guidelines/?q=safety+plan")
    await page.locator("#guideline-list").get_by_role("link", name="Version 1").first.click()
    picture = page.locator("#sheet img")
    await expect(picture).to_have_js_property("complete", True, timeout=SLOW)
    before = await picture.get_attribute("src")
    await page.locator(".passage").nth(1).focus()
    await expect(page.locator(".passage").nth(1)).to_have_attribute("data-shown", "")
    await expect(picture).not_to_have_attribute("src", before or "")
    await expect(page.locator("#sheet[data-loading]")).to_have_count(0, timeout=SLOW)
    assert await picture.evaluate("image => image.naturalWidth") > 400
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_switch_stays_on_the_page_and_can_be_undone(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.goto("/guidelines/?q=safety+plan")
    address = page.url
    await page.get_by_role("button", name=re.compile("Switch off.*Safety plan")).click()
    await expect(page.locator("#notices")).to_contain_text("no longer answers")
    assert page.url == address
    await page.locator("#notices").get_by_role("button", name="Undo").click()
    await expect(page.locator("#notices")).to_contain_text("answers again")


async def test_a_switch_after_the_session_has_ended_asks_to_sign_in(sign_in: Callable[..., Any]) -> None:
    page = await sign_in("dora")
    await page.goto("/guidelines/?q=safety+plan")
    kept = [one for one in await page.context.cookies() if "session" not in one["name"]]
    await page.context.clear_cookies()
    await page.context.add_cookies(kept)
    await page.get_by_role("button", name=re.compile("Switch off.*Safety plan")).click()
    await expect(page.get_by_label("Password")).to_be_visible()  # and does not look as if it had been done


async def test_a_folder_is_taken_with_what_can_be_read_in_it(sign_in: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("a.md", "below/b.md", "photo.raw", ".hidden.md"):
        (tmp_path / "guidelines" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "guidelines" / name).write_text("# Words\n")
    page = await sign_in("dora")
    await page.goto("/guidelines/")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Choose a folder").click()
    await (await chooser.value).set_files(str(tmp_path / "guidelines"))
    await expect(page.locator("#chosen-files li")).to_have_count(2)
    await expect(page.locator("#left-out")).to_contain_text("1")
