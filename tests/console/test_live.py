"""From a fault to the map, with nothing left out: simulator, pipeline, ClickHouse, console, Chromium."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from sinks.clickhouse import ClickHouse
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import Supervisor
from tests.conftest import SLOWNESS, wait_until
from tests.console import chromium
from tests.console.traffic import Traffic

RATE = 80.0
FAULT = "checkout.errors"
TOUCHPOINT = "web.checkout"
#: What must hold: the map shows an incident so long after its row is in ClickHouse. Seconds.
SHOWN_S = 5.0
HISTORY_PUBLISHED_S, DETECTED_S, READY_S = 120.0, 120.0, 30.0


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Supervisor]:
    chromium.path()
    ports = {"metrics_port": 0, "query_port": 0, "console_port": 0}
    with Supervisor(load_settings(data_dir=tmp_path / "data", console=True, **ports)) as supervisor:
        yield supervisor


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium.running(chromium.path()) as browser:
        yield browser


def _seen(page: Page) -> bool:
    return page.locator(f'[id="place-{TOUCHPOINT}"].hurt').count() == 1


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.xdist_group("chromium")
def test_a_fault_is_on_the_open_map_within_five_seconds_of_its_incident(
    group: Supervisor, browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    wait_until(lambda: chromium.answers(f"{group.console}/ready"), READY_S)
    store = ClickHouse.open(group.clickhouse, create=False)
    try:
        with Traffic(group.settings, RATE, [FAULT]) as traffic, chromium.page(browser, group.console) as page:

            def count(condition: str) -> int:
                group.check()
                assert traffic.failed is None, traffic.failed
                return int(store.rows(f"SELECT count() FROM corredor.{condition}")[0][0])

            wait_until(lambda: traffic.failed is not None or traffic.fault_at < time.time(), HISTORY_PUBLISHED_S)
            page.goto("/")
            expect(page.locator(f'[id="place-{TOUCHPOINT}"]:not(.unknown)')).to_have_count(1)
            before = page.locator("#at").inner_text()
            wait_until(lambda: count(f"open_incidents WHERE touchpoint = '{TOUCHPOINT}'") > 0, DETECTED_S)
            written = time.monotonic()
            page.wait_for_function(
                "id => document.getElementById(id).classList.contains('hurt')",
                arg=f"place-{TOUCHPOINT}",
                timeout=1000 * SLOWNESS * SHOWN_S,
                polling=50,
            )
            took = time.monotonic() - written
            assert _seen(page)
            assert page.locator("#at").inner_text() != before, "the page was never loaded anew"
            # A screen reader was told.
            expect(page.locator("#news")).to_contain_text("Checkout on the web")

            page.locator("#open a").first.click()
            expect(page.locator("ol.timeline li")).to_have_count(3)
            expect(page.get_by_role("link", name="Runbook")).to_have_count(1)

            # On a busy machine the sink may be behind with journeys, whose topic is not that of incidents.
            wait_until(lambda: count("journeys_now WHERE contacts > 3") > 0, DETECTED_S)
            ((subject,),) = store.rows(
                "SELECT subject FROM corredor.journeys_now WHERE contacts > 3 ORDER BY contacts DESC LIMIT 1"
            )
            page.goto("/journey")
            page.get_by_role("textbox").fill(subject)
            page.get_by_role("button", name="Look up").click()
            assert page.locator("svg.emotion circle").count() > 1
            assert subject not in page.url

            page.goto("/pipeline")
            expect(page.get_by_role("row", name="worker-1")).to_contain_text("up")
            expect(page.get_by_role("row", name="console")).to_contain_text("up")
    finally:
        store.close()
    record_property("incident_to_map_s", round(took, 2))
    print(f"incident in ClickHouse to map {took:.2f} s")
