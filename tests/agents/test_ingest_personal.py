"""The ingest agent refuses what looks personal, unless the settings say otherwise."""

import asyncio
from typing import Any
from unittest import mock

import pytest

from schemas import topics
from streams.agents import ingest
from streams.agents.ingest import LANES, IngestTask
from streams.runtime.outbox import Outbox
from streams.runtime.positions import Positions
from streams.runtime.settings import load_settings
from tests.builders import corridor, event, record


@pytest.mark.parametrize(
    ("settings", "topic"),
    [
        ({}, topics.REJECTED.name),
        ({"personal_data_allowed": "data.segment.other"}, topics.REJECTED.name),
        ({"personal_data_allowed": "data.segment.note"}, topics.SCORED.name),
        ({"personal_data": "allow"}, topics.SCORED.name),
    ],
)
def test_what_looks_personal_goes_where_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], topic: str
) -> None:
    monkeypatch.setattr(ingest, "read_back", lambda *_: {})
    monkeypatch.setattr(ingest, "StateLog", mock.Mock())
    outbox = mock.create_autospec(Outbox)
    task = IngestTask(
        load_settings(kafka="localhost:1", **settings), corridor(), outbox, lambda _: 0, 1, lambda *_: True
    )
    positions = Positions({(name, 0): 0 for name in LANES}, {}, False)
    asyncio.run(task.assign([0], positions, lambda: True))
    personal = record(0, event(data={"segment": {"note": "jane@example.com"}}))
    asyncio.run(task.apply(LANES[0], 0, [personal]))
    ((name, _),) = [call.args for call in outbox.publish.call_args_list]
    assert name == topic
