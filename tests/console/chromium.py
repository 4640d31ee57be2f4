"""Debian's Chromium, headless, driven by Playwright, which brings no browser of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

#: A page of the console may take so long on a slow machine. Milliseconds.
PATIENCE_MS = 60_000


def path() -> str:
    """Where it is; the test is skipped without it, and fails if CORREDOR_REQUIRE_CHROMIUM=1."""
    found = shutil.which("chromium")
    if found is not None:
        return found
    why = "there is no `chromium`; `python -m scripts.browser` installs it"
    if os.environ.get("CORREDOR_REQUIRE_CHROMIUM") == "1":
        pytest.fail(why)
    pytest.skip(why)


def answers(url: str) -> bool:
    """Whether a server says 200 there."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running(executable: str) -> Iterator[Browser]:
    """A browser. It resolves no name of the network: what a page would want from elsewhere fails."""
    with sync_playwright() as playwright:
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=executable, args=[rules])
        yield browser
        browser.close()


@contextmanager
def page(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """A page with a profile of its own. What the browser complains about fails the test."""
    context: BrowserContext = browser.new_context(
        base_url=address,
        **{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options},  # type: ignore[arg-type]
    )
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()
    assert complaints == []
