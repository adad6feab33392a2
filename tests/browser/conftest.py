"""A real Chromium, driven by Playwright. Missing where there is none; required where HAVRE_REQUIRE_BROWSER is set."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, async_playwright

from tests.conftest import PASSWORD
from tests.installation import Installation

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = [
    "--no-sandbox",  # tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium]:
    program = os.environ.get("HAVRE_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        if os.environ.get("HAVRE_REQUIRE_BROWSER"):
            pytest.fail("HAVRE_REQUIRE_BROWSER is set and there is no Chromium.")
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield browser
        await browser.close()


@pytest.fixture
async def sign_in(chromium: Chromium, installation: Installation) -> AsyncIterator[Callable[..., Any]]:
    """`page = await sign_in("anna")`: a window of its own, signed in; complains of every error in the console."""
    troubles: list[str] = []
    contexts = []

    async def open_window(name: str, **options: Any) -> Page:
        context = await chromium.new_context(base_url=installation.url, **options)
        contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        await page.goto("/accounts/login/")
        await page.fill("input[name=username]", name)
        await page.fill("input[name=password]", PASSWORD)
        await page.press("input[name=password]", "Enter")
        await page.wait_for_url(lambda url: "/accounts/login" not in url)
        return page

    yield open_window
    for context in contexts:
        await context.close()
    assert troubles == []
