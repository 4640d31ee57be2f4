"""What aiokafka, librdkafka and Faust's worker do by default, and what our settings make of it.

A test here that fails after an upgrade tells what has changed, and its message what to think over. Faust's own traps
are in test_faust_traps.py; that every codec is read, and that ours is Java's partition, in test_codecs.py and
test_partitioner.py.
"""

import asyncio
import ctypes
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import faust
import pytest
from aiokafka import codec
from aiokafka.errors import UnsupportedCodecError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from confluent_kafka import cimpl
from faust.cli.base import DEFAULT_LOGLEVEL

from schemas import topics
from streams import app as worker_app
from streams.app import Worker
from streams.runtime import clients
from streams.runtime.faust_app import create_app
from streams.runtime.logs import set_up_logging
from streams.runtime.outbox import Outbox
from streams.runtime.partitioner import partitioner
from streams.runtime.settings import Settings, load_settings

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_LIBRARY = ctypes.CDLL(cimpl.__file__)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(kafka="127.0.0.1:1", data_dir=tmp_path, metrics_port=0, shutdown_timeout=0.5)


# -- trap 4: codecs ------------------------------------------------------------------------------------------------


def compressed(kind: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, kind, 0, -1, -1, -1, 1 << 20)
    for n in range(20):
        builder.append(n, 1000 + n, b"key", b"touchpoint " * 20, [])
    return bytes(builder.build())


@pytest.mark.parametrize("kind", [SNAPPY, LZ4, ZSTD])
def test_trap_4_without_cramjam_aiokafka_cannot_read_what_sources_compress(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = compressed(kind)
    assert len(list(DefaultRecordBatch(bytearray(raw)))) == 20
    monkeypatch.setattr(codec, "cramjam", None)
    with pytest.raises(UnsupportedCodecError):
        assert not list(DefaultRecordBatch(bytearray(raw))), "aiokafka reads it without cramjam: is it still needed?"


def test_trap_4_gzip_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "cramjam", None)
    assert len(list(DefaultRecordBatch(bytearray(compressed(GZIP))))) == 20


# -- trap 6: the shutdown ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_trap_6_a_worker_ends_though_faust_s_shutdown_never_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the broker gone Faust can wait for ever in `App.stop`; ours may not wait for it (Worker.run)."""
    monkeypatch.setattr(worker_app, "partition_counts", lambda _: {topic.name: 4 for topic in topics.ALL})
    monkeypatch.setattr(worker_app, "Outbox", lambda *_: mock.create_autospec(Outbox))
    monkeypatch.setattr(worker_app, "Probe", mock.Mock())
    monkeypatch.setattr(worker_app.http, "serve", mock.MagicMock())
    stopping: list[bool] = []

    async def main() -> int:
        worker = Worker(settings)
        started = asyncio.Event()

        async def start() -> None:
            started.set()

        async def never() -> None:
            stopping.append(True)
            await asyncio.Event().wait()

        monkeypatch.setattr(worker.app, "start", start)
        monkeypatch.setattr(worker.app, "stop", never)
        monkeypatch.setattr(worker, "_observe", start)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(30):
            await started.wait()
            worker.stopping.set()
            return await running

    with caplog.at_level("WARNING", "corredor.worker"):
        assert asyncio.run(main()) == 0
    assert stopping == [True]
    assert "shutdown took longer than 0.5 s" in caplog.text


# -- trap 9: logging and linger --------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    found = logging.getLogger()
    level, handlers, own = found.level, list(found.handlers), logging.getLogger("corredor").level
    yield found
    found.handlers[:] = handlers
    found.setLevel(level)
    logging.getLogger("corredor").setLevel(own)


def test_trap_9_faust_s_worker_leaves_the_root_logger_at_debug(root: logging.Logger) -> None:
    worker = mock.Mock(spinner=mock.Mock())
    root.setLevel(logging.WARNING)
    faust.Worker._setup_spinner_handler(worker, root, logging.WARNING)
    assert root.level == logging.DEBUG, "Faust's worker is quiet now: streams/runtime/logs.py is why ours is not used"
    assert DEFAULT_LOGLEVEL == "WARN"


def test_trap_9_ours_builds_no_record_for_what_libraries_say_below_a_warning(
    root: logging.Logger, settings: Settings
) -> None:
    set_up_logging(settings)
    assert root.level == logging.WARNING
    for name in ("aiokafka.conn", "aiokafka.consumer.fetcher", "faust", "mode"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO), f"{name} builds a record for each request"
    assert logging.getLogger("corredor.worker").isEnabledFor(logging.INFO)


def test_trap_9_faust_s_producer_does_not_linger_and_carries_nothing_of_ours(settings: Settings) -> None:
    assert create_app(settings).conf.producer_linger == 0.0, "Faust's producer lingers now: could it carry results?"


@pytest.mark.parametrize(("paced", "least_ms"), [(False, 5), (True, 50)])
def test_trap_9_our_producers_linger(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, paced: bool, least_ms: int
) -> None:
    made = mock.Mock()
    monkeypatch.setattr(clients, "Producer", made)
    clients.producer(settings.model_copy(update={"kafka_paced": paced}))
    assert made.call_args.args[0]["linger.ms"] >= least_ms, "small batches: a fetch of the embedded Kafka brings one"


# -- trap 10: a full queue --------------------------------------------------------------------------------------------


def default(name: bytes, of_topic: bool = False) -> bytes:
    """librdkafka's own default of a setting, asked from the library inside confluent-kafka."""
    kind = "topic_conf" if of_topic else "conf"
    new, get = getattr(_LIBRARY, f"rd_kafka_{kind}_new"), getattr(_LIBRARY, f"rd_kafka_{kind}_get")
    destroy = getattr(_LIBRARY, f"rd_kafka_{kind}_destroy")
    new.restype, destroy.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t)]
    conf = new()
    try:
        value = ctypes.create_string_buffer(256)
        assert get(conf, name, value, ctypes.byref(ctypes.c_size_t(256))) == 0, name
        return value.value
    finally:
        destroy(conf)


def test_trap_10_our_consumers_do_not_pause_for_a_second_when_their_queue_is_full(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (default(b"queued.min.messages"), default(b"fetch.queue.backoff.ms")) == (b"100000", b"1000"), (
        "librdkafka pauses otherwise: is fetch.queue.backoff.ms in streams/runtime/clients.py still right?"
    )
    made = mock.Mock()
    monkeypatch.setattr(clients, "PatientConsumer", made)
    clients.consumer(settings, "group")
    assert made.call_args.args[0]["fetch.queue.backoff.ms"] == 10


def test_trap_10_every_librdkafka_client_is_made_in_one_place() -> None:
    code = Path(__file__).resolve().parents[2]
    made = {
        str(path.relative_to(code))
        for package in ("command", "sinks", "sources", "streams")
        for path in (code / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"(?<!class )\b(Patient)?(Consumer|Producer)\(", line)
    }
    assert made == {"streams/runtime/clients.py"}, "made without our settings"


# -- trap 11: partitioners --------------------------------------------------------------------------------------------

KEYS = [f"customer-{n}".encode() for n in range(64)]


def librdkafka(name: str, key: bytes, partitions: int) -> int:
    function = getattr(_LIBRARY, f"rd_kafka_msg_partitioner_{name}")
    function.restype = ctypes.c_int32
    function.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32, *[ctypes.c_void_p] * 2]
    return int(function(None, key, len(key), partitions, None, None))


def test_trap_11_librdkafka_s_default_puts_customers_elsewhere_than_java_s_and_aiokafka_s() -> None:
    assert default(b"partitioner", of_topic=True) == b"consistent_random", (
        "librdkafka's default partitioner changed: how many events of such sources are still handed over?"
    )
    ours = [partitioner(4)(key) for key in KEYS]
    assert [DefaultPartitioner()(key, list(range(4)), list(range(4))) for key in KEYS] == ours
    theirs = [librdkafka("consistent_random", key, 4) for key in KEYS]
    elsewhere = sum(one != other for one, other in zip(ours, theirs, strict=True))
    # Three of four, by chance.
    assert elsewhere > len(KEYS) / 2, "librdkafka hashes like Java now: is corredor.rekeyed still needed?"


def test_trap_11_our_producers_take_murmur2(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mock.Mock()
    monkeypatch.setattr(clients, "Producer", made)
    clients.producer(settings)
    configured: dict[str, Any] = made.call_args.args[0]
    assert configured["partitioner"] == "murmur2_random"
    assert [librdkafka("murmur2_random", key, 7) for key in KEYS] == [partitioner(7)(key) for key in KEYS]
