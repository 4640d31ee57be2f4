import pytest

from command import demo
from console.figures import Process, ScoreNow, read_figures
from schemas.loader import load_map
from streams.runtime import federation
from streams.runtime.settings import load_settings

PAGE = """\
# TYPE corredor_process_up gauge
corredor_process_up{process="worker-1"} 1.0
corredor_process_up{process="worker-2"} 0.0
# TYPE corredor_process_restarts counter
corredor_process_restarts_total{process="worker-2"} 3.0
# TYPE corredor_lag_records gauge
corredor_lag_records{topic="touchpoint.events",partition="0",process="worker-1"} 5.0
corredor_lag_records{topic="touchpoint.events",partition="1",process="worker-2"} 7.0
# TYPE corredor_sink_lag_records gauge
corredor_sink_lag_records{topic="experience.slices",process="sink"} 2.0
# TYPE corredor_events counter
corredor_events_total{state="accepted",process="worker-1"} 10.0
corredor_events_total{state="accepted",process="worker-2"} 20.0
# TYPE corredor_rejected_events counter
corredor_rejected_events_total{reason="invalid_json"} 1.0
# TYPE corredor_score gauge
corredor_score{tenant="a",scope="touchpoint",name="pay",window="5m"} 61.5
corredor_score{tenant="b",scope="touchpoint",name="pay",window="5m"} 90.0
# TYPE corredor_score_low gauge
corredor_score_low{tenant="a",scope="touchpoint",name="pay",window="5m"} 58.0
# TYPE corredor_score_events gauge
corredor_score_events{tenant="a",scope="touchpoint",name="pay",window="5m"} 40.0
corredor_score_events{tenant="a",scope="touchpoint",name="shop",window="5m"} 3.0
"""


def test_counts_are_added_up_over_processes_and_partitions() -> None:
    found = read_figures(PAGE)
    assert found.processes == {"worker-1": Process(True, 0), "worker-2": Process(False, 3)}
    assert found.lag == {"touchpoint.events": {"worker": 12.0}, "experience.slices": {"sink": 2.0}}
    assert (found.events, found.rejected) == ({"accepted": 30.0}, {"invalid_json": 1.0})


def test_a_score_is_that_of_its_tenant_and_window() -> None:
    found = read_figures(PAGE)
    assert found.score("a", "pay") == ScoreNow(events=40.0, score=61.5, low=58.0)
    assert found.score("b", "pay") == ScoreNow(score=90.0)
    assert found.score("a", "shop") == ScoreNow(events=3.0)
    assert found.score("a", "nowhere") == found.score("a", "pay", "1h") == ScoreNow()


def test_an_empty_page_says_nothing() -> None:
    assert read_figures("").scores == {}


def test_the_demo_shows_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.replace('name="pay"', 'name="web.payment"')
    monkeypatch.setattr(federation, "get", lambda url, timeout: (200, page))
    view = demo.View(load_map(load_settings().map), "en", [])
    view.update("http://127.0.0.1:1")
    assert "30 events" in view.line()
    assert " 1 scores" in view.line()


def test_the_last_checkpoint_belongs_to_its_process() -> None:
    found = read_figures('corredor_last_checkpoint_timestamp_seconds{process="worker-1"} 1.7952624e+09\n')
    assert found.processes["worker-1"].last_checkpoint == 1795262400
    # Of a process that is asked alone, without a supervisor's label, nobody can say whose it is.
    assert read_figures("corredor_last_checkpoint_timestamp_seconds 5\n").processes == {}
