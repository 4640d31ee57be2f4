"""The retail map in the simulator's quick time: as many journeys end as begin, and what is kept of them is level."""

from pathlib import Path

import msgspec
from ruamel.yaml import YAML

from sources.simulate import DEFAULT_PACE
from streams.runtime.settings import DEFAULT_MAP

#: Patience is divided by the simulator's pace, as its pauses are, within these bounds; how late events, and copies of
#: events, may be. Seconds.
_SHORTEST_S, _LONGEST_S, _LATENESS_S = 60.0, 120.0, 120.0
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def quick_map(folder: Path) -> Path:
    """Write the map into `folder`; returns the file."""
    corridor = YAML(typ="safe").load(DEFAULT_MAP)
    for part in (corridor["defaults"], *corridor["touchpoints"]):
        if "patience" in part:
            part["patience"] = _quick(part["patience"])
    corridor["defaults"]["recovery"] = _quick(corridor["defaults"]["recovery"])
    corridor["defaults"]["allowed_lateness"] = corridor["defaults"]["duplicate_horizon"] = f"{_LATENESS_S:.0f}s"
    file = folder / "quick.yaml"
    # JSON is YAML.
    file.write_bytes(msgspec.json.encode(corridor))
    return file


def _quick(duration: str) -> str:
    unit = duration.lstrip("0123456789.")
    seconds = float(duration.removesuffix(unit)) * _UNITS[unit] / DEFAULT_PACE
    return f"{min(max(seconds, _SHORTEST_S), _LONGEST_S):.0f}s"
