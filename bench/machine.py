"""What was measured on: a figure without its machine and versions says nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
import psutil


def describe() -> list[tuple[str, str]]:
    """Date, machine and versions, as pairs of name and value."""
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("cpu", f"{_cpu()}, {os.cpu_count()} logical cores"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("python", platform.python_version()),
        ("librdkafka", confluent_kafka.libversion()[0]),
        ("confluent-kafka", version("confluent-kafka")),
        ("faust-streaming", version("faust-streaming")),
        ("aiokafka", version("aiokafka")),
        ("chdb", version("chdb")),
    ]


def line(extra: list[tuple[str, str]]) -> str:
    """Everything in one line."""
    return "; ".join(f"{name} {value}" for name, value in (*describe(), *extra)) + "."


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for row in info.read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor() or platform.machine()
