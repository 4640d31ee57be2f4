"""From a fault to the page and back, with nothing left out: simulator, pipeline, Prometheus, Alertmanager, webhook."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.runtime.settings import load_settings
from streams.runtime.supervisor import Supervisor
from tests.alerts.customers import Customers
from tests.alerts.servers import CONFIG, RULES, alertmanager, program, prometheus, told_to
from tests.alerts.webhook import Webhook
from tests.conftest import wait_until

TOUCHPOINT = "web.product"
#: Fifty contacts a second there.
RATE = 303.0
#: Half of the customers wait so long that three in ten of them give up: from 1 % negative to 15 %.
FAULT = "search.slow[device=mobile]*3"
FAULT_S = 30.0
HISTORY_PUBLISHED_S, PAGE_S, RESOLVE_S = 120.0, 150.0, 240.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Supervisor]:
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    with Supervisor(load_settings(data_dir=tmp_path / "data", metrics_port=0, query_port=0)) as supervisor:
        yield supervisor


@pytest.mark.slow
@pytest.mark.timeout(700)
@pytest.mark.xdist_group("paging")
def test_a_fault_pages_with_place_depth_cause_and_runbook_and_its_end_resolves_the_page(
    running: Supervisor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with (
        Webhook() as webhook,
        alertmanager(tmp_path, told_to(webhook.url, CONFIG, tmp_path)) as alerts,
        prometheus(tmp_path, {"corredor-worker": running.metrics_url}, RULES, alerts),
        Customers(running.settings, TOUCHPOINT, RATE, FAULT, FAULT_S) as customers,
    ):

        def came(status: str) -> bool:
            running.check()
            assert customers.failed is None, customers.failed
            return webhook.first("/on-call", status, touchpoint=TOUCHPOINT, measure="negative") is not None

        wait_until(lambda: customers.failed is not None or customers.fault_at < time.time(), HISTORY_PUBLISHED_S)
        assert not webhook.notices, [notice.payload for notice in webhook.notices]
        wait_until(lambda: came("firing"), PAGE_S)
        took = time.time() - customers.fault_at
        wait_until(lambda: came("resolved"), RESOLVE_S)
        back = time.time() - customers.fault_at - FAULT_S

    found = webhook.first("/on-call", "firing", touchpoint=TOUCHPOINT, measure="negative")
    assert found is not None
    notice, page = found
    assert notice.payload["groupLabels"] == {"tenant": "default", "touchpoint": TOUCHPOINT}
    said = page["annotations"]
    for language in ("", "_es"):
        depth = re.search(r"([\d.]+) % -> ([\d.]+) %", said[f"summary{language}"])
        assert depth is not None, said
        before, now = float(depth[1]), float(depth[2])
        # The page comes with the first dozens of those hurt, among contacts from before: not yet as deep as the fault.
        assert before < 3 and now > 2 * before, said
        assert TOUCHPOINT in said[f"summary{language}"]
        assert "device = mobile" in said[f"description{language}"], said
    assert said["runbook_url"].endswith("CorredorDrop.md"), said
    assert page["labels"]["severity"] == "page"

    record_property("fault_to_page_s", round(took, 1))
    record_property("end_to_resolve_s", round(back, 1))
    print(f"fault to page {took:.1f} s, end of fault to resolve {back:.1f} s\n{json.dumps(page, indent=2)}")
