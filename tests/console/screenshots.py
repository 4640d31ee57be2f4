"""Takes the pictures of docs/screenshots, from a demo with faults: `python -m tests.console.screenshots FOLDER`."""

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from sinks.clickhouse import ClickHouse
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import Supervisor
from tests.conftest import wait_until
from tests.console import chromium
from tests.console.traffic import Traffic

RATE = 80.0
FAULTS = ("checkout.errors[device=mobile]", "delivery.delay[carrier=norte]", "callcentre.congestion")
#: Pixels: a desk, a phone. Heights are those of the first screen.
DESK, PHONE = {"width": 1200, "height": 1000}, {"width": 390, "height": 800}
INCIDENTS, WITHIN_S = 2, 180.0


def take(page: Page, folder: Path, name: str) -> None:
    """A picture of the first screen, in 64 colours: that keeps the file small, and flat pages have no more."""
    page.wait_for_load_state("load")
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    picture.quantize(64, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


def main(folder: Path) -> int:
    """Returns the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        settings = load_settings(data_dir=Path(data), metrics_port=0, query_port=0, console_port=0, console=True)
        with Supervisor(settings) as group, Traffic(group.settings, RATE, FAULTS) as traffic:
            store = ClickHouse.open(group.clickhouse, create=False)

            def found() -> bool:
                group.check()
                assert traffic.failed is None, traffic.failed
                rows = store.rows("SELECT count() FROM corredor.open_incidents WHERE kind = 'drop'")
                return int(rows[0][0]) >= INCIDENTS and traffic.fault_at + 60 < time.time()

            wait_until(lambda: chromium.answers(f"{group.console}/ready"))
            wait_until(found, WITHIN_S)
            ((incident,),) = store.rows(
                "SELECT id FROM corredor.all_incidents WHERE kind = 'drop' ORDER BY hurt DESC LIMIT 1"
            )
            ((subject,),) = store.rows(
                "SELECT subject FROM corredor.journeys_now WHERE negative > 0 AND channel_switches > 1 "
                "AND contacts < 15 ORDER BY contacts DESC LIMIT 1"
            )
            store.close()
            with chromium.running(chromium.path()) as browser:
                with chromium.page(browser, group.console, viewport=DESK) as page:
                    for name, path in (
                        ("corridor", "/"),
                        ("touchpoint", "/touchpoints/web.checkout"),
                        ("incident", f"/incidents/{incident}"),
                        ("priorities", "/priorities"),
                        ("pipeline", "/pipeline"),
                    ):
                        page.goto(path)
                        take(page, folder, name)
                    page.goto("/journey")
                    page.get_by_role("textbox").fill(subject)
                    page.get_by_role("textbox").press("Enter")
                    page.locator("svg.emotion").wait_for()
                    take(page, folder, "journey")
                with chromium.page(browser, group.console, viewport=DESK, color_scheme="dark", locale="es-ES") as page:
                    page.goto("/")
                    take(page, folder, "corridor-dark-es")
                with chromium.page(browser, group.console, viewport=PHONE) as page:
                    page.goto("/")
                    take(page, folder, "corridor-phone")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
