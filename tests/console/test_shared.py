"""One reading shared by all who look."""

import threading

import anyio
import pytest

from console.shared import MOST_KEPT, Shared


def test_many_viewers_at_once_cost_one_reading() -> None:
    read: list[str] = []
    entered = threading.Event()

    def slow(tenant: str) -> str:
        read.append(tenant)
        entered.wait(0.05)
        return f"corridor of {tenant}"

    async def look() -> list[str]:
        shared = Shared(lambda: 0.0)
        got: list[str] = []

        async def viewer(tenant: str) -> None:
            got.append(await shared.get(1.0, slow, tenant))

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(viewer, "a" if number % 2 else "b")
        return got

    got = anyio.run(look)
    assert sorted(read) == ["a", "b"]
    assert len(got) == 40 and set(got) == {"corridor of a", "corridor of b"}


def test_a_reading_is_given_out_while_it_is_fresh_and_no_longer() -> None:
    now = [0.0]
    read: list[float] = []

    async def look() -> list[int]:
        shared = Shared(lambda: now[0])
        got: list[int] = []

        def count() -> int:
            read.append(now[0])
            return len(read)

        for moment in (10.0, 10.9, 11.0, 11.1):
            now[0] = moment
            got.append(await shared.get(0.95, count))
        return got

    assert anyio.run(look) == [1, 1, 2, 2]


def test_a_failed_reading_is_tried_again_by_the_next_who_looks() -> None:
    attempts = []

    def read() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("away")
        return "back"

    async def look() -> str:
        shared = Shared(lambda: 0.0)
        with pytest.raises(OSError, match="away"):
            await shared.get(1.0, read)
        return await shared.get(1.0, read)

    assert anyio.run(look) == "back"


def test_no_more_readings_are_kept_than_a_bound() -> None:
    async def look() -> int:
        shared = Shared()
        for number in range(MOST_KEPT + 20):
            await shared.get(60.0, str, number)
        return len(shared._readings)

    assert anyio.run(look) == MOST_KEPT
