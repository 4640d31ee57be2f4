"""The report over known results: every number is that of a plain computation, in both languages, in one file."""

import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from math import exp, sqrt
from pathlib import Path
from statistics import fmean, variance
from typing import Any, NamedTuple
from xml.etree import ElementTree

import msgspec
import pytest

from console.language import LANGUAGES, Language
from console.report.gather import Report, gather, period
from console.report.page import Words, render
from schemas.errors import StopProcess, UsageError
from schemas.loader import load_map
from sinks.clickhouse import ClickHouse
from sinks.http_query import QueryServer
from sinks.migrate import migrate
from streams.model.intervals import Z
from streams.runtime.settings import DEFAULT_MAP
from tests.console.chromium import path
from tests.console.rows import incident, journey
from tests.sinks.bi_data import RETAIL, fill
from tests.sinks.rows import lines, scored

CHART = load_map(DEFAULT_MAP)
PROGRAM = [sys.executable, "-P", "-c", "from command.main import main; main()"]
#: The report is about this day (UTC); `fill` ends an hour into it, so that both periods have contacts.
DAY = date(2026, 11, 21)
START = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp())
LAUNCH, TAU = START + 2 * 3600, 1800.0
#: A touchpoint, its mean x, seconds after the start of the day: one improves, one falls, one stays as it was.
MOODS = (
    ("store.visit", 0.4, -40_000), ("store.visit", 0.8, 40_000),
    ("app.product", 0.7, -30_000), ("app.product", 0.6, 50_000),
    ("store.checkout", 0.5, -20_000), ("store.checkout", 0.5, 60_000),
)  # fmt: skip
ARGUMENTS = ["--from", "2026-11-21", "--to", "2026-11-21", "--tenant", "default", "--horizon", "1"]


def _events() -> Iterator[Any]:
    """Places that got better and worse, a page that customers had to get used to. Both are named by the map."""
    rng = random.Random(3)
    for number in range(120):
        for place, mood, day in MOODS:
            worth = min(1.0, max(0.0, rng.gauss(mood, 0.1)))
            band = "negative" if worth < 0.4 else "neutral" if worth < 0.7 else "positive"
            yield scored(
                touchpoint=place, stage="before", id=f"{place}-{day}-{number}", subject=f"visitor-{number % 60}",
                journey=f"{place}-{day}-{number}", time=START + day + 10 * number, x=worth, band=band, segment={},
            )  # fmt: skip
    for number in range(2000):
        at = LAUNCH + 6 * number
        worth = 0.8 - 0.5 * exp(-(at - LAUNCH) / TAU) + rng.gauss(0, 0.02)
        yield scored(
            touchpoint="web.product", stage="before", id=f"new-{number}", subject=f"reader-{number}", x=worth,
            journey=f"reader-{number}", time=at, change="new-page" if number < 50 else None, band="neutral", segment={},
        )  # fmt: skip


def _journeys() -> Iterator[dict[str, Any]]:
    """Customers of the day before: of those with a good memory most come again within a day and buy."""
    for number in range(120):
        who, good = f"buyer-{number}", number % 2 == 0
        own = {"subject": who, "segments": {}, "value": {}, "memory_band": "positive" if good else "negative"}
        ended = START - 80_000 + number
        yield journey(f"first-{number}", **own, started_at=ended - 100, last_at=ended, status="reached")
        if number % 4 == 0 or number % 10 == 1:
            later = {"started_at": ended + 3600, "last_at": ended + 7200}
            yield journey(f"second-{number}", **own, **later, status="reached" if number % 3 else "abandoned")
        if number % 10 == 3:
            # Too late to count: after the horizon.
            yield journey(f"third-{number}", **own, started_at=ended + 90_000, last_at=ended + 91_000)


def _purchases() -> Iterator[Any]:
    for number in range(120):
        for at in (0, 60):
            yield scored(
                touchpoint="web.checkout", id=f"buy-{number}-{at}", subject=f"buyer-{number}",
                journey=f"second-{number}", time=START - 80_000 + number + 3600 + at, x=None,
                band="unknown", segment={}, amount_minor=1000 + 10 * number, currency="EUR" if number % 8 else "JPY",
            )  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    store = ClickHouse.open(f"chdb://{tmp_path_factory.mktemp('report')}")
    migrate(store)
    fill(store, START + 3600)
    store.insert("touchpoint_events", lines(*_events(), *_purchases()))
    # Every event a second time, as after a crash: it counts once.
    store.insert("touchpoint_events", lines(*_events()))
    store.insert("journeys", b"\n".join(msgspec.json.encode(row) for row in _journeys()))
    over = {"status": "resolved", "since": START - 90_000, "resolved_at": START - 80_000, "ended_at": START - 80_000}
    store.insert("incidents", lines(incident(id="f" * 16, touchpoint="store.visit", **over)))
    yield store
    store.close()


@pytest.fixture(scope="module")
def report(engine: ClickHouse) -> Report:
    return gather(engine, CHART, period(DAY, DAY, "UTC", 1), "default", 1)


class Page(NamedTuple):
    """A rendered page: well-formed, or parsing it fails."""

    text: str
    root: ElementTree.Element
    say: Words

    def table(self, name: str) -> list[list[str]]:
        found = self.root.find(f".//table[@id='{name}']/tbody")
        assert found is not None, name
        return [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in found]


@pytest.fixture(scope="module", params=LANGUAGES)
def page(request: pytest.FixtureRequest, report: Report) -> Page:
    language: Language = request.param
    text = render(report, CHART, language)
    return Page(text, ElementTree.fromstring(text.partition("\n")[2]), Words(language, CHART))


def events(engine: ClickHouse, condition: str) -> list[tuple[Any, ...]]:
    columns = "touchpoint, stage, subject, journey, toFloat64(time), x, band, currency, amount_minor"
    return engine.rows(f"SELECT {columns} FROM corredor.events WHERE tenant = 'default' AND {condition}")


def mean(values: list[tuple[str, float]]) -> tuple[float, float, int] | None:
    """Score, its standard error over customers, and the number of contacts."""
    of: dict[str, list[float]] = defaultdict(list)
    for subject, x in values:
        of[subject].append(x)
    if len(of) < CHART.defaults.minimum_n:
        return None
    n, middle = len(values), fmean(x for _, x in values)
    # Deviations of customers add up to 0, so their variance is that of the sums.
    residuals = [sum(x - middle for x in mine) for mine in of.values()]
    return 100 * middle, 100 * sqrt(variance(residuals) * len(of)) / n, n


def side(say: Words, one: tuple[float, float, int] | None) -> list[str]:
    if one is None:
        return ["–", "", ""]
    score, error, n = one
    low, high = max(0, score - Z * error), min(100, score + Z * error)
    return [say.number(score, 1), say.between(low, high, 1), say.number(n)]


def row(say: Words, name: str, rows: list[tuple[Any, ...]], where: Any, *, limit: float) -> list[str]:
    sides = [
        mean([(one[2], one[5]) for one in rows if where(one) and (one[4] >= START) == now]) for now in (False, True)
    ]
    cells = [name, *side(say, sides[0]), *side(say, sides[1])]
    before, now = sides
    if before is None or now is None:
        return [*cells, "–", ""]
    change, error = now[0] - before[0], sqrt(now[1] ** 2 + before[1] ** 2)
    told = f" {say('report.told')}" if abs(change) > limit * error else ""
    sign = "+" if change > 0 else ""
    return [*cells, sign + say.number(change, 1), say.between(change - Z * error, change + Z * error, 1) + told]


def of_both_days(engine: ClickHouse) -> list[tuple[Any, ...]]:
    return events(engine, f"time >= {START - 86400} AND time < {START + 86400} AND isNotNull(x)")


def test_each_stage_has_the_numbers_of_a_plain_computation(engine: ClickHouse, page: Page) -> None:
    rows, say = of_both_days(engine), page.say
    found = page.table("stages")
    assert [one[0] for one in found] == [
        say("report.whole"),
        *(say(f"stage.{s}") for s in ("before", "during", "after")),
    ]
    # Two standard normal quantiles: one comparison, three of them.
    assert found[0] == row(say, found[0][0], rows, lambda one: True, limit=1.959964)
    for index, stage in enumerate(("before", "during", "after"), 1):
        assert found[index] == row(say, found[index][0], rows, lambda one: one[1] == stage, limit=2.393980)  # noqa: B023


def test_what_improved_is_told_with_its_numbers_and_what_is_chance_is_not(
    engine: ClickHouse, page: Page, report: Report
) -> None:
    rows = of_both_days(engine)
    assert report.comparisons == 3
    for table, touchpoint in (("improved", "store.visit"), ("fell", "app.product")):
        (found,) = page.table(table)
        expected = row(page.say, page.say.place(touchpoint), rows, lambda one: one[0] == touchpoint, limit=report.z)  # noqa: B023
        assert found == expected
        assert found[-1].endswith(page.say("report.told"))


def test_incidents_of_the_period_say_how_long_how_many_why_and_who_came_back(engine: ClickHouse, page: Page) -> None:
    say, found = page.say, page.table("incidents")
    query = (
        "SELECT kind, status, touchpoint, hurt, toInt64(if(status = 'open', updated_at, ended_at)) - toInt64(since), "
        "causes.segment, causes.value, r.hurt_customers, r.recovered_customers FROM corredor.all_incidents AS i "
        "LEFT JOIN corredor.incident_recovery AS r ON r.id = i.id "
        "WHERE i.id != 'ffffffffffffffff' ORDER BY severity = 'page' DESC, hurt DESC, i.since, i.id"
    )
    expected = []
    for kind, status, touchpoint, hurt, lasted, keys, values, customers, recovered in engine.rows(query):
        state = f" ({say('status.open')})" if status == "open" else ""
        back = say("report.of", part=recovered, whole=customers) if kind == "drop" else "–"
        cause = f"{say.segment(keys[0])}: {values[0]}" if keys else "–"
        name = f"{say('kind.' + kind)}{state}"
        expected.append((name, say.place(touchpoint), say.seconds(lasted), say.number(hurt), cause, back))
    assert len(found) == 3
    shown = [(one[0], one[1].partition(" →")[0].partition(" (")[0], one[3], one[4], one[5], one[6]) for one in found]
    assert shown == expected


def test_money_is_counted_once_a_journey_and_never_over_currencies(engine: ClickHouse, page: Page) -> None:
    rows = events(engine, f"time >= {START} AND time < {START + 86400}")
    status = {
        (subject, name): state
        for subject, name, state in engine.rows("SELECT subject, journey, status FROM corredor.journeys_now")
    }
    hurt = {(one[2], one[3]) for one in rows if one[6] == "negative"}
    largest: dict[tuple[str, tuple[str, str]], int] = {}
    for one in rows:
        if one[8] is not None and (one[2], one[3]) in status:
            key = (one[7], (one[2], one[3]))
            largest[key] = max(largest.get(key, 0), one[8])
    expected = []
    for currency in sorted({currency for currency, _ in largest}):
        mine = {who: amount for (name, who), amount in largest.items() if name == currency}
        stalled = {who for who in mine if status[who] in ("open", "stalled")}
        gone = {who for who in mine if status[who] == "abandoned"}
        groups = [hurt & mine.keys(), stalled, gone, (hurt | stalled | gone) & mine.keys()]
        money = [page.say.money(sum(mine[who] for who in group), currency) for group in groups]
        customers = page.say.number(len({subject for subject, _ in groups[3]}))
        expected.append([currency, *money, customers, page.say.money(sum(mine.values()), currency)])
    assert [one[0] for one in expected] == ["EUR", "USD"]
    assert page.table("money") == [[" ".join(cell.split()) for cell in one] for one in expected]


def test_a_change_that_customers_get_used_to_has_its_tau_and_one_with_few_contacts_says_so(
    page: Page, report: Report
) -> None:
    found = {one[0]: one for one in page.table("changes")}
    assert set(found) == {"new-page", "one-page-checkout"}
    (learned,) = [one for one in report.learned if one.change == "new-page"]
    curve = learned.curve
    assert curve.tau is not None and curve.a is not None and curve.b is not None
    assert curve.tau.low < TAU < curve.tau.high
    assert curve.n == 2000
    assert found["new-page"][3:6] == [
        page.say.number(2000),
        page.say.seconds(curve.tau.value),
        page.say("unit.between", low=page.say.seconds(curve.tau.low), high=page.say.seconds(curve.tau.high)),
    ]
    assert found["new-page"][6:] == [page.say.number(curve.a, 1), page.say.number(curve.b, 1)]
    assert page.say("report.not_enough") in found["one-page-checkout"][-1]


def test_who_came_again_and_spent_is_counted_by_the_memory_of_the_first_journey(engine: ClickHouse, page: Page) -> None:
    query = (
        "SELECT subject, journey, toFloat64(started_at), toFloat64(last_at), memory_band, status "
        "FROM corredor.journeys_now WHERE tenant = 'default' ORDER BY last_at, journey"
    )
    journeys = engine.rows(query)
    amounts: dict[tuple[str, str], tuple[str, int]] = {
        (one[2], one[3]): (one[7], one[8])
        for one in events(engine, f"isNotNull(amount_minor) AND time < {START + 86400}")
    }
    first: dict[str, tuple[Any, ...]] = {}
    for one in journeys:
        if START - 86400 <= one[3] < START and one[4] != "unknown":
            first.setdefault(one[0], one)
    expected = []
    for name in ("negative", "neutral", "positive"):
        mine = {who: one[3] for who, one in first.items() if one[4] == name}
        cells = [page.say(f"band.{name}"), page.say.number(len(mine))]
        if len(mine) < CHART.defaults.minimum_n:
            expected.append([*cells, "–", page.say("report.not_enough")])
            continue
        later = [one for one in journeys if one[0] in mine and 0 < one[2] - mine[one[0]] <= 86400]
        again = len({one[0] for one in later})
        cells += [page.say.number(again), page.say.percent(again / len(mine), 1)]
        center = (again + Z * Z / 2) / (len(mine) + Z * Z)
        half = Z / (len(mine) + Z * Z) * sqrt(again * (1 - again / len(mine)) + Z * Z / 4)
        cells.append(page.say.between(100 * (center - half), 100 * (center + half), 1) + " %")
        for currency in ("EUR", "JPY"):
            spent = dict.fromkeys(mine, 0)
            for one in later:
                amount = amounts.get((one[0], one[1]))
                if one[5] == "reached" and amount and amount[0] == currency:
                    spent[one[0]] += amount[1]
            value, half = fmean(spent.values()), Z * sqrt(variance(spent.values()) / len(mine))
            cells.append(page.say.money(value, currency))
            low, high = page.say.money(max(0, value - half), currency), page.say.money(value + half, currency)
            cells.append(page.say("unit.between", low=low, high=high))
        expected.append(cells)
    # One customer of `fill` is among them too.
    assert page.table("returns") == [[" ".join(cell.split()) for cell in one] for one in expected]
    assert page.say("report.not_causal") in page.text


def test_the_page_is_one_file_that_asks_for_nothing(page: Page) -> None:
    assert page.text.startswith("<!doctype html>\n")
    tags = {element.tag for element in page.root.iter()}
    assert "svg" in tags
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "a", "use", "image"})
    names = {name for element in page.root.iter() for name in element.attrib}
    assert names.isdisjoint({"href", "src", "action", "srcset", "style"}) and not any(n.startswith("on") for n in names)
    assert not any(word in page.text for word in ("http:", "https:", "url(", "@import", "//"))
    assert page.root.attrib["lang"] == page.say.language


def run(engine: ClickHouse, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "NO_COLOR": "1", "CORREDOR_CLICKHOUSE": engine.dsn, **environment}
    return subprocess.run(
        [*PROGRAM, "report", *arguments], capture_output=True, text=True, timeout=300, env=own, check=False
    )


@pytest.fixture(scope="module")
def queries(engine: ClickHouse) -> Iterator[QueryServer]:
    server = QueryServer(Path(engine.dsn.removeprefix("chdb://")), 0)
    server.start()
    yield server
    assert server.stop(5)


def test_the_command_writes_what_render_gives(
    queries: QueryServer, engine: ClickHouse, report: Report, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    done = run(engine, *ARGUMENTS, "--lang", "es", "--out", str(file), CORREDOR_CLICKHOUSE=queries.dsn)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(file)
    assert file.read_text(encoding="utf-8") == render(report, CHART, "es")


def test_an_empty_period_is_said_and_is_exit_code_1(engine: ClickHouse) -> None:
    with pytest.raises(StopProcess, match=r"nothing happened from 2025-01-01 to 2025-01-31: .* 2026-11-20") as error:
        gather(engine, CHART, period(date(2025, 1, 1), date(2025, 1, 31), "UTC", 30), None, 30)
    assert error.value.exit_code == 1
    with pytest.raises(UsageError, match=r"--tenant nosuch: there are contacts of default, outlet"):
        gather(engine, CHART, period(DAY, DAY, "UTC", 30), "nosuch", 30)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "2026-13-01", "--to", "2026-11-21"], "--from 2026-13-01: write a day"),
        (["--from", "2026-11-21", "--to", "2026-11-20"], "--to 2026-11-20 is before --from 2026-11-21"),
        (["--from", "0001-01-01", "--to", "0001-01-02"], "within 1971 to 2105"),
        (["--from", "2026-11-21", "--to", "2026-11-21", "--out", "report.docx"], "ends in .html or .pdf"),
        (["--from", "2026-11-21", "--to", "2026-11-21", "--lang", "fr"], "--lang fr: write en or es"),
        (["--from", "2026-11-21"], "--to"),
    ],
)
def test_what_is_asked_wrongly_is_exit_code_2(arguments: list[str], said: str) -> None:
    done = subprocess.run([*PROGRAM, "report", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_a_browser_a_pdf_says_what_to_install(engine: ClickHouse, tmp_path: Path) -> None:
    done = run(engine, *ARGUMENTS, "--out", str(tmp_path / "report.pdf"), PATH=str(tmp_path))
    assert done.returncode == 2
    assert "install it (Debian: `apt install chromium`)" in " ".join(done.stderr.split())


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['jinja2'] = None; from command.main import main; main()"
    arguments = ["report", *ARGUMENTS, "--out", str(tmp_path / "report.html")]
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "the report needs jinja2: pip install 'corredor[console]'" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.xdist_group("chromium")
def test_chromium_prints_it_as_pdf(queries: QueryServer, engine: ClickHouse, tmp_path: Path) -> None:
    assert shutil.which(path())
    file = tmp_path / "report.pdf"
    done = run(engine, *ARGUMENTS, "--out", str(file), CORREDOR_CLICKHOUSE=queries.dsn)
    assert (done.returncode, done.stderr) == (0, "")
    made = file.read_bytes()
    assert made.startswith(b"%PDF-") and b"%%EOF" in made[-32:] and b"/Type /Page" in made


def test_the_map_of_the_test_is_the_map_of_the_data() -> None:
    assert RETAIL == CHART
