"""The tutorial, typed as it is printed on the embedded servers, and what it shows held against what is seen."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from streams.runtime.supervisor import free_port
from tests.conftest import wait_until
from tests.docs.tutorial import PAGE, Step, Terminal, addresses, agrees, project, run, steps

SERVER, CLIENT = "Terminal 1", "Terminal 2"
#: Setting: the port that the page names.
PORTS = {"CORREDOR_METRICS_PORT": 9464, "CORREDOR_QUERY_PORT": 8123, "CORREDOR_CONSOLE_PORT": 8080}
PATIENCE_S = 30.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_new_user_sees_what_the_tutorial_shows(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in PORTS}
    text = PAGE.read_text(encoding="utf-8")
    for name, printed in PORTS.items():
        text = text.replace(f"127.0.0.1:{printed}", f"127.0.0.1:{ports[name]}")
    environment = {**ports, "COLUMNS": "160"}
    told = steps(text)
    folder = project(tmp_path)
    with (
        Terminal(folder, tmp_path / "server.log", environment) as server,
        Terminal(folder, tmp_path / "client.log", environment) as client,
    ):
        install, start, *others = told
        run(install, server, PATIENCE_S)
        running = server.type(start.commands)
        wait_until(lambda: "Ctrl-C" in running.text or running.code is not None, PATIENCE_S)
        wait_until(lambda: agrees(running.text, start.shown) or running.code is not None, PATIENCE_S)
        assert running.code is None, running.text
        for step in others[:-1]:
            run(step, client, PATIENCE_S)
        for address in addresses(text):
            with urlopen(address) as answer:
                assert "Hand-over to the customer" in answer.read().decode()
        server.interrupt()
        wait_until(lambda: running.code is not None, PATIENCE_S)
        assert running.code == 0, running.text
        run(others[-1], client, PATIENCE_S)
    assert "<html" in (tmp_path / "my-corridor" / "report.html").read_text(encoding="utf-8")


def test_the_page_has_one_run_and_says_who_types_what() -> None:
    told = steps(PAGE.read_text(encoding="utf-8"))
    assert [step.terminal for step in told[:3]] == [SERVER, SERVER, CLIENT]
    assert {step.terminal for step in told[3:]} == {CLIENT}
    assert [step.commands for step in told if "corredor run" in step.commands] == ["corredor run --console\n"]
    assert sum(bool(step.shown) for step in told) > 15


@pytest.mark.parametrize(
    ("seen", "shown", "right"),
    [
        ("one\ntwo\n", "one\ntwo\n", True),
        ("one \ntwo", "one\ntwo\n", True),
        ("one\n", "one\ntwo\n", False),
        ("one\ntwo\n", "one\n", False),
        ("1 published, 0 faulty\n", "… published, 0 faulty\n", True),
        ("1 published, 1 faulty\n", "… published, 0 faulty\n", False),
        ("a\nb\nc\nd\n", "a\n…\nd\n", True),
        ("a\nd\n", "a\n…\nd\n", True),
        ("a\nb\n", "a\n…\nd\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_is_seen_agrees_with_the_page_only_if_it_is_the_same(seen: str, shown: str, right: bool) -> None:
    assert agrees(seen, shown) is right


def test_only_commands_that_change_nothing_are_asked_again() -> None:
    assert Step(CLIENT, 'corredor query "SELECT 1"\ncurl -s http://127.0.0.1\n').only_asks
    assert not Step(CLIENT, 'corredor publish events.ndjson\ncorredor query "SELECT 1"\n').only_asks


def test_a_step_fails_only_where_the_page_shows_an_error() -> None:
    assert Step(CLIENT, "", "line 1\nerror: no\n").fails
    assert not Step(CLIENT, "", "0 rows, no error: fine\n").fails
