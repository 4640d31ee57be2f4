"""The console in real headless Chromium, over known results: languages, themes, keyboard, look-up, accessibility."""

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.console import chromium
from tests.console.rows import INCIDENT, JOURNEY, SUBJECT, WORST

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]

AUDITED = (
    "/",
    f"/touchpoints/{WORST}",
    "/incidents",
    f"/incidents/{INCIDENT}",
    "/priorities",
    "/journey",
    "/pipeline",
    "/runbooks/CorredorDrop",
    "/nothing",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.running(chromium.path()) as browser:
        yield browser


@pytest.fixture
def address(client: httpx.Client) -> str:
    return str(client.base_url)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with chromium.page(browser, address) as page:
        yield page


def look_up(page: Page, who: str) -> None:
    page.get_by_role("textbox").fill(who)
    page.get_by_role("textbox").press("Enter")


def test_the_language_follows_the_browser_and_can_be_switched(browser: Browser, address: str) -> None:
    with chromium.page(browser, address, locale="es-ES") as page:
        page.goto(f"/touchpoints/{WORST}?window=1h")
        expect(page.get_by_role("heading", level=1)).to_have_text("Finalización de compra en la web")
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Checkout on the web")
        assert page.url.endswith(f"/touchpoints/{WORST}?window=1h")
        page.goto("/")
        expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_theme_follows_the_system_and_can_be_switched(browser: Browser, address: str) -> None:
    def paper(page: Page) -> str:
        # The document may be there before its style sheet.
        page.wait_for_load_state()
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    with chromium.page(browser, address, color_scheme="dark") as page:
        page.goto("/")
        dark = paper(page)
        page.get_by_role("link", name="Light").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        light = paper(page)
    assert dark != light == "rgb(255, 255, 255)"
    with chromium.page(browser, address, color_scheme="light") as page:
        page.goto("/")
        assert paper(page) == light
        page.get_by_role("link", name="Dark").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert paper(page) == dark


def test_the_keyboard_alone_reaches_a_touchpoint_through_the_map(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == f"place-{WORST}":
            break
    expect(page.locator(f'[id="place-{WORST}"]')).to_be_focused()
    stroke = page.evaluate("getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth")
    assert stroke == "4px", "focus can be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Checkout on the web")


def test_a_journey_is_looked_up_and_its_id_is_in_no_address(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/journey")
    look_up(page, SUBJECT)
    expect(page.get_by_role("heading", level=2).first).to_have_text(f"Journey {JOURNEY}")
    expect(page.locator("svg.emotion circle")).to_have_count(3)
    expect(page.locator("svg.emotion circle.peak.negative")).to_have_count(1)
    page.get_by_role("button", name="order-8").click()
    expect(page.get_by_role("heading", level=2).first).to_have_text("Journey order-8")
    page.goto(f"/touchpoints/{WORST}")
    page.get_by_role("button", name=re.compile("See the journey of")).first.click()
    expect(page.get_by_role("heading", level=2).first).to_have_text(f"Journey {JOURNEY}")
    assert [url for url in asked if "ana" in url or "order" in url] == []


def test_a_phone_shows_every_page_without_scrolling_sideways(browser: Browser, address: str) -> None:
    with chromium.page(browser, address, viewport={"width": 375, "height": 700}) as page:
        for path in AUDITED[:-1]:
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 375, f"{path} is {wide} pixels wide"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_accessibility_audit_finds_nothing_serious(browser: Browser, address: str, theme: str) -> None:
    found = []
    with chromium.page(browser, address, color_scheme=theme) as page:

        def audit(where: str) -> None:
            for rule in Axe().run(page).response["violations"]:
                if rule["impact"] in ("serious", "critical"):
                    found.extend(f"{where} {rule['id']}: {node['html'][:200]}" for node in rule["nodes"])

        for path in AUDITED[:-1]:
            page.goto(path)
            audit(path)
        page.goto("/journey")
        look_up(page, SUBJECT)
        expect(page.locator("svg.emotion circle")).to_have_count(3)
        audit("a journey")
    assert found == []


def test_without_scripts_every_page_is_there(browser: Browser, address: str) -> None:
    with chromium.page(browser, address, java_script_enabled=False) as page:
        page.goto("/")
        page.locator(f'[id="place-{WORST}"]').click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Checkout on the web")
