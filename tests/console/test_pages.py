"""What the pages say, read from ClickHouse through its HTTP interface as in an embedded run."""

import re
from html import unescape
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sinks.http_query import QueryServer
from streams.runtime.settings import Settings
from streams.runtime.supervisor import free_port
from tests.console.conftest import browse
from tests.console.rows import INCIDENT, JOURNEY, SUBJECT, WORST

PAGES = (
    "/",
    f"/touchpoints/{WORST}",
    f"/touchpoints/{WORST}?window=1h",
    f"/touchpoints/{WORST}?window=24h",
    "/touchpoints/kiosk",
    "/incidents",
    f"/incidents/{INCIDENT}",
    "/incidents/fedcba9876543210",
    "/incidents/aa11",
    "/priorities",
    "/journey",
    "/pipeline",
    "/runbooks/CorredorDrop",
)


def text(page: httpx.Response) -> str:
    """The page as it is read: without tags, white space as one blank."""
    assert page.status_code == 200, page.text
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page.text)))


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_page_is_whole_in_both_languages(client: httpx.Client, language: str) -> None:
    for path in PAGES:
        page = client.get(path, headers={"Accept-Language": language})
        assert f'<html lang="{language}">' in page.text, path
        assert page.text.rstrip().endswith("</html>"), path
        assert page.text.count("<h1>") == 1, path
        assert page.text.count("<main") == page.text.count("</main>") == 1, path


def test_the_map_shows_scores_intervals_unknowns_ways_and_incidents(client: httpx.Client) -> None:
    page = client.get("/")
    seen = text(page)
    place = re.search(
        rf'<a id="place-{WORST}" class="([^"]*)" href="/touchpoints/{WORST}" aria-label="([^"]*)"', page.text
    )
    assert place is not None
    assert place[1] == "place s0 hurt"
    assert place[2] == "Checkout on the web. Score 35, 95 % interval 30 to 60. Drop (page)"
    assert 'id="place-web.search" class="place s4' in page.text
    assert re.search(r'id="place-web.cart" class="place unknown"[^>]*too few', page.text), "few events make no score"
    assert 'id="place-kiosk"' in page.text, "a touchpoint that the map does not name"
    assert 'id="way-web.search--web.product" class="way hurt"' in page.text
    assert f'id="way-{WORST}--web.payment" class="way long"' in page.text
    assert 'id="way-app.product--app.checkout" class="way unused"' in page.text
    assert "18 hurt, mostly device=mobile" in seen
    widths = dict(re.findall(r'id="way-([^"]*)"[^>]*>.*?stroke-width="([\d.]+)"', page.text))
    assert float(widths["web.search--web.product"]) > float(widths["web.cart--web.checkout"]) > 1


def test_a_touchpoint_shows_scores_survey_metrics_components_segments_and_moments(client: httpx.Client) -> None:
    seen = text(client.get(f"/touchpoints/{WORST}"))
    for said in (
        "35.0 30 to 60",
        "NPS 12 3 to 21, 40 answers",
        "CSAT 71 60 to 80, 55 answers",
        "CES 2.0 5.1 4.8 to 5.4, 33 answers",
        "Apdex 0.62 200 waits",
        "Gap -0.40 tolerances; 30.0 % of promises broken",
        "Device: mobile ▼ 12.0",
        "failure Outcome 9.0 s -1.5",
    ):
        assert said in seen, f"{said} is not in {seen}"


def test_an_incident_shows_timeline_causes_hurt_recovery_runbook_and_sql(client: httpx.Client) -> None:
    page = client.get(f"/incidents/{INCIDENT}")
    seen = text(page)
    for said in (
        "Share of negative contacts: 2.0 % before, 20.0 % since.",
        "detected, 40 s later",
        "still open",
        "Device: mobile 90 % 2.0 % 50.0 % 40",
        "1 customers had a bad contact; 0 of them (0 %)",
        "touchpoint = 'web.checkout' AND time >= toDateTime(",
    ):
        assert said in seen, f"{said} is not in {seen}"
    assert 'href="/runbooks/CorredorDrop"' in page.text
    assert "What it means" in text(client.get("/runbooks/CorredorDrop"))


def test_incidents_come_open_ones_first(client: httpx.Client) -> None:
    ids = re.findall(r'<tr id="incident-(\w+)"', client.get("/incidents").text)
    assert ids == [INCIDENT, "fedcba9876543210", "aa11"]


def test_priorities_have_their_interval_and_parts(client: httpx.Client) -> None:
    assert "Checkout on the web 21,050 19,000 to 23,000 0.52 1,840 ◆ 58.0 56 to 60 80 22.0 80 %" in text(
        client.get("/priorities")
    )


@pytest.mark.parametrize("who", [SUBJECT, JOURNEY])
def test_a_journey_is_found_by_customer_and_by_its_own_id_and_never_through_the_address(
    client: httpx.Client, who: str
) -> None:
    page = client.post("/journey", data={"who": f"  {who} "})
    seen = text(page)
    assert "<script>'" not in page.text, "what a source sent stays text"
    assert f"Journey {JOURNEY}" in seen
    assert "(peak 0.05 + last 0.30) / 2" in seen
    assert len(re.findall(r"<circle", page.text)) == 3
    assert 'class="negative peak"' in page.text
    assert "support failure" not in seen and "other channel" in seen
    assert "Other journeys of this customer" in seen
    assert client.get("/journey", params={"who": who}).text.count("<circle") == 0
    assert not re.search(r'(?:href|action)="[^"]*(?:ana|order-)', page.text)


def test_another_journey_of_the_customer_can_be_chosen(client: httpx.Client) -> None:
    assert "Journey order-8 " in text(client.post("/journey", data={"who": SUBJECT, "journey": "order-8"}))


def test_an_id_that_nobody_has_is_said_to_be_unknown(client: httpx.Client) -> None:
    for nobody in ("nobody", "' OR 1=1 --", "{who:String}"):
        assert "No journey with this id" in text(client.post("/journey", data={"who": nobody}))


def test_the_pipeline_shows_rejections_and_sources(client: httpx.Client) -> None:
    seen = text(client.get("/pipeline"))
    assert re.search(r"Source .* shop .* 3 ", seen)
    assert "No run of this folder answers" in seen


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/touchpoints/nowhere", 404),
        (f"/touchpoints/{WORST}?window=2d", 404),
        ("/incidents/none", 404),
        ("/?tenant=nobody", 404),
        ("/runbooks/..%2F..%2FREADME", 404),
        ("/runbooks/README", 404),
        ("/static/..%2Fapp.py", 404),
    ],
)
def test_what_is_not_there_has_a_page_that_says_what_to_do(client: httpx.Client, path: str, status: int) -> None:
    page = client.get(path)
    assert page.status_code == status
    if not path.startswith("/static"):
        assert "The address is mistyped" in page.text


def test_nothing_but_reading_looking_up_and_logging_in_is_allowed(client: httpx.Client) -> None:
    for path in ("/", "/incidents", "/priorities", "/pipeline", f"/touchpoints/{WORST}", "/live", "/choose"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert client.request(method, path).status_code == 405, (method, path)
    assert client.post("/journey", content=b"who=" + b"x" * 5000).status_code == 413


def test_language_and_theme_are_remembered_and_lead_back_here_only(client: httpx.Client) -> None:
    answer = client.get("/choose", params={"lang": "es", "back": "/incidents"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/incidents")
    assert '<html lang="es">' in client.get("/incidents", headers={"Accept-Language": "en"}).text
    client.get("/choose", params={"theme": "dark"})
    assert 'data-theme="dark"' in client.get("/").text
    client.get("/choose", params={"theme": "<script>", "lang": "xx"})
    assert '<html lang="es" data-theme="dark">' in client.get("/").text
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/\tx"):
        assert client.get("/choose", params={"back": elsewhere}).headers["location"] == "/"


def test_away_it_says_so_and_comes_back_by_itself(settings: Settings) -> None:
    gone = settings.model_copy(update={"clickhouse": SecretStr("http://127.0.0.1:9/corredor")})
    with browse(gone) as client:
        page = client.get("/")
        assert page.status_code == 503
        assert page.headers["retry-after"] == "3"
        assert '<meta http-equiv="refresh" content="3">' in page.text
        assert "ClickHouse does not answer" in page.text


def test_a_store_that_comes_back_is_seen_by_the_next_look_and_by_who_is_watching(
    settings: Settings, folder: Path
) -> None:
    port = free_port()
    later = settings.model_copy(update={"clickhouse": SecretStr(f"http://127.0.0.1:{port}/corredor")})
    with browse(later) as client, client.stream("GET", "/live", params={"tenant": "default"}) as stream:
        said = stream.iter_lines()
        assert client.get("/").status_code == 503
        assert next(said) == "event: away"
        server = QueryServer(folder, port)
        server.start()
        try:
            assert next(line for line in said if line.startswith("event:")) == "event: change"
            assert client.get("/").status_code == 200
        finally:
            assert server.stop(5)
        assert next(line for line in said if line.startswith("event:")) == "event: away"
        assert client.get("/incidents").status_code == 503


def test_without_a_run_the_page_says_how_to_start_one(settings: Settings) -> None:
    alone = settings.model_copy(update={"clickhouse": SecretStr("")})
    with browse(alone) as client:
        assert "start `corredor run`" in unescape(client.get("/").text)


def test_a_viewer_hears_of_the_corridor_at_once(client: httpx.Client) -> None:
    with client.stream("GET", "/live", params={"tenant": "default"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert next(stream.iter_text()).startswith("event: change\ndata: ")
