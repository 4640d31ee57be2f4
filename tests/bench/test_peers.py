"""What `make bench-peers` rests on: the shared formula, the offline judge and the report. No peer is installed."""

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.feed import Feed, simulated
from bench.peers import __main__ as command
from bench.peers import environments, job, judge, report
from bench.peers.race import FAUST, OWN, PEERS, Outcome
from bench.peers.report import median
from schemas.corridor import Promise, PromiseCurve
from schemas.errors import StopProcess, UsageError
from schemas.event import TouchpointData
from schemas.loader import load_map
from streams.model.experience import Scorer
from streams.runtime.settings import Settings
from tests.builders import corridor
from tests.model.test_experience import curves, data, weights

PROGRAMS = sorted((Path(job.__file__).parent / "programs").glob("[!_]*.py"))
CHART = load_map(Settings().map)


def work(chart: Any = CHART) -> job.Job:
    return job.Job("127.0.0.1:9092", "group", 4, "events", "scored", "sums", "/nowhere", judge.rules_of(chart))


@pytest.fixture(scope="module")
def feed() -> Feed:
    return simulated(2000)


@pytest.fixture(scope="module")
def right(feed: Feed) -> judge.Findings:
    return judge.expected((value for _, value in feed.events), CHART)


def by_peer(events: Sequence[tuple[bytes, bytes]], parts: int = 1) -> tuple[list[bytes], list[bytes]]:
    """What a peer in so many parts would publish: scored events, and every change of every sum."""
    here, known = work(), set()
    totals: dict[tuple[int, str, int], tuple[int, float]] = {}
    scored, sums = [], []
    for key, value in events:
        event = json.loads(value)
        if job.identity(event) in known:
            continue
        known.add(job.identity(event))
        message = job.scored(event, here.x(event["data"]))
        scored.append(json.dumps(message).encode())
        part = sum(key) % parts
        cell = part, message["touchpoint"], job.bucket_of(message["time"])
        n, x = totals.get(cell, (0, 0.0))
        totals[cell] = n + 1, x + (message["x"] or 0.0)
        changed = {"touchpoint": cell[1], "bucket": cell[2], "n": n + 1, "x": totals[cell][1]}
        sums.append(json.dumps(changed | ({"part": part} if parts > 1 else {})).encode())
    return scored, sums


def found(scored: list[bytes], sums: list[bytes]) -> judge.Findings:
    return judge.Findings(judge.totals_in(sums), judge.scored_in(scored))


@given(data(), weights, curves, st.floats(1e-6, 1e9))
def test_the_peers_formula_is_the_model_s(
    event: TouchpointData, own: dict[Any, float], curve: PromiseCurve, tolerance: float
) -> None:
    chart = corridor(weights=own, promise=Promise(tolerance, curve))
    touchpoint = next((each for each in chart.touchpoints if each.name == event.touchpoint), None)
    decoded = json.loads(msgspec.json.encode(event))
    assert work(chart).x(decoded) == Scorer(chart, touchpoint)(event).x


def test_every_simulated_event_has_the_model_s_x_and_bucket(feed: Feed, right: judge.Findings) -> None:
    scored, sums = by_peer(feed.events)
    assert judge.scored_in(scored) == list(right.scored)
    assert {cell: total.n for cell, total in judge.totals_in(sums).items()} == feed.distinct


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_right_result_in_any_number_of_parts_has_no_fault(feed: Feed, right: judge.Findings, parts: int) -> None:
    assert judge.faults(found(*by_peer(feed.events, parts)), right) == []


@given(random=st.randoms(use_true_random=False))
def test_the_right_result_does_not_depend_on_the_order_of_the_events(feed: Feed, random: Random) -> None:
    values = [value for _, value in feed.events[:200]]
    right = judge.expected(values, CHART)
    random.shuffle(values)
    again = judge.expected(values, CHART)
    assert again.totals == right.totals
    assert sorted(again.scored, key=str) == sorted(right.scored, key=str)


def changed(message: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(message), **values}).encode()


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("lost", "1 events not scored"),
        ("doubled", "1 events scored again"),
        ("invented", "1 scored events that nobody sent"),
        ("other x", "1 events with another x"),
        ("no x", "1 events with another x"),
        ("count", "buckets counted wrong"),
        ("bucket", "buckets counted wrong"),
        ("sum", "buckets summed wrong"),
        ("nonsense", "buckets summed wrong"),
    ],
)
def test_each_kind_of_wrong_result_is_named(feed: Feed, right: judge.Findings, what: str, fault: str) -> None:
    scored, sums = by_peer(feed.events)
    first = next(message for message in scored if json.loads(message)["x"])
    last = sums[-1]
    n, x = json.loads(last)["n"], json.loads(last)["x"]
    match what:
        case "lost":
            scored.remove(first)
        case "doubled":
            scored.append(first)
        case "invented":
            scored.append(changed(first, id="of nobody"))
        case "other x":
            scored[scored.index(first)] = changed(first, x=json.loads(first)["x"] * (1 + 1e-8))
        case "no x":
            scored[scored.index(first)] = changed(first, x=None)
        case "count":
            sums.append(changed(last, n=n + 1))
        case "bucket":
            sums.append(changed(last, bucket=0))
        case "sum":
            sums.append(changed(last, x=x * (1 + 1e-8)))
        case "nonsense":
            sums.append(changed(last, x=-1e300))
    faults = judge.faults(found(scored, sums), right)
    assert len(faults) == 1
    assert fault in faults[0]


def test_only_the_worker_s_rounding_is_forgiven() -> None:
    right = judge.Findings({("a", 0): judge.Total(10, 0.5)}, [])
    off = judge.Findings({("a", 0): judge.Total(10, 0.5 + 9 * judge.ROUNDING)}, [])
    assert judge.faults(off, right, judge.ROUNDING) == []
    assert judge.faults(off, right)
    assert judge.faults(judge.Findings({("a", 0): judge.Total(10, 0.51)}, []), right, judge.ROUNDING)


def test_a_message_that_is_no_sum_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        judge.totals_in([b'{"touchpoint": "a"}'])


def test_a_job_survives_its_file() -> None:
    assert job.parse(job.dump(work())) == work()


def test_a_peer_says_once_that_it_has_begun(capsys: pytest.CaptureFixture[str]) -> None:
    start = job.Start()
    start()
    start()
    assert capsys.readouterr().out == f"{job.READY}\n"


def outcome(peer: Any, rate: float, *faults: str) -> Outcome:
    return Outcome(peer, 1000, 1000 / rate if rate else 0.0, 1.0, 2**20, faults)


def test_the_median_is_a_run_and_runs_without_a_result_take_no_part() -> None:
    runs = [outcome(FAUST, rate) for rate in (0, 400, 100, 300)] + [outcome(OWN, 1)]
    found = median(runs, FAUST)
    assert found is not None
    assert found.rate == 300
    assert median([outcome(FAUST, 0)], FAUST) is None


def test_a_wrong_contestant_stays_in_the_table_as_wrong() -> None:
    runs = [outcome(OWN, 500), outcome(FAUST, 100, "3 events not scored"), outcome(OWN, 500), outcome(FAUST, 100)]
    text = report.markdown(runs, "Here.", {"faust": {"faust-streaming": "0.15.3"}})
    row = next(line for line in text.splitlines() if line.startswith("| Faust |"))
    assert row.endswith("| 5.00 | 1,000 | **wrong** in 1 of 2 runs |")
    assert "- Faust: 3 events not scored" in text
    assert "faust: faust-streaming 0.15.3" in text
    assert '"faults": [\n        "3 events not scored"' in report.as_json(runs, "Kafka", {})


def test_a_contestant_that_never_finished_stays_in_the_table_too() -> None:
    text = report.markdown([outcome(OWN, 500), outcome(FAUST, 0, "no result: Faust ended with code 1")], "Here.", {})
    row = next(line for line in text.splitlines() if line.startswith("| Faust |"))
    assert row.endswith("| **none** |")
    assert "ended with code 1" in text


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_peer_needs_nothing_of_corredor_but_the_job(program: Path) -> None:
    root = {path.name for path in environments.ROOT.iterdir() if (path / "__init__.py").exists()}
    imported = [
        node.module or ""
        for node in ast.walk(ast.parse(program.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in root
    ]
    assert imported == ["bench.peers.job"]
    tree = ast.parse(Path(job.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_every_environment_is_used_and_pins_what_it_measures() -> None:
    assert {peer.environment for peer in PEERS} - {""} == set(environments.NAMES)
    for name in environments.NAMES:
        text = environments.requirements(name).read_text()
        assert environments.libraries(text)
        assert ">=" in text and ",<" in text
    assert environments.libraries("# no\nbytewax[kafka]>=0.21,<0.22\norjson\n") == ["bytewax", "orjson"]


def test_environments_are_neither_kept_in_git_nor_left_by_clean() -> None:
    assert f"{environments.FOLDER.name}/" in (environments.ROOT / ".gitignore").read_text().split()
    clean = (environments.ROOT / "Makefile").read_text().partition("\nclean:")[2]
    assert environments.FOLDER.name in clean


def test_what_an_installation_says_reaches_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "venvs")
    with pytest.raises(UsageError, match=r"(?s)faust cannot be made .*requirements-faust.*No space left"):
        environments.make("faust", lambda _: None)
    with pytest.raises(StopProcess, match="no environment 'flink'; there are faust, quix"):
        environments.make("flink", lambda _: None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "flink"], "there is no such contestant; there are corredor, faust"),
        (["--runs", "0"], "--runs is 1 or more"),
        (["--scale", "0"], "--scale above 0"),
    ],
)
def test_a_wrong_option_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == UsageError.exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "written"), [(["--write"], True), (["--write", "--quick"], False)])
def test_only_a_quick_run_leaves_the_documents_alone(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], written: bool
) -> None:
    put: list[str] = []
    monkeypatch.setattr(command, "measure", lambda *_: ("a table", "{}"))
    monkeypatch.setattr("bench.report.put", lambda page, name, text: put.append(f"{page.name} {name} {text}"))
    assert command.main(arguments) == 0
    assert put == (["performance.md peers a table"] if written else [])
