"""Do the default weights mean anything? On real orders, x of all that came before the answer against the answer.

`python -m bench.auc ../shared/data/olist` prints the tables of docs/weights.md; `--write` puts them there.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bench.journeys import DELIVERY, Contact, Journey, read
from bench.rank import Auc, Numbers, auc
from bench.report import DOCS, put, table
from schemas.corridor import DEFAULT_WEIGHTS, Component
from schemas.errors import StopProcess, UsageError

#: Answers of so many stars or fewer are unhappy.
UNHAPPY = 2
#: The sample holds every undelivered order and about this share of the delivered ones.
SAMPLED = 0.47
#: Above this the score would know more than anybody could before the answer.
TOO_GOOD = 0.82
_PARTS: tuple[Component, ...] = ("outcome", "promise", "effort", "wait")
Score = Callable[[Journey], float | None]


def mean_x(journey: Journey) -> float | None:
    """The journey's mean x, each touchpoint weighted by its importance in the map; None without a scored contact."""
    return _mean((contact.importance, contact.experience.x) for contact in journey.contacts)


def memory(journey: Journey) -> float | None:
    """Peak-end rule (Fredrickson and Kahneman 1993): mean of the x farthest from 0.5 and the last x."""
    xs = [contact.experience.x for contact in journey.contacts if contact.experience.x is not None]
    return (max(xs, key=lambda x: abs(x - 0.5)) + xs[-1]) / 2.0 if xs else None


def worst(journey: Journey) -> float | None:
    """The lowest x of the journey."""
    return min((contact.experience.x for contact in journey.contacts if contact.experience.x is not None), default=None)


def punctuality(journey: Journey) -> float | None:
    """Minus the days of delay known at the answer, being early counting as on time."""
    delay = journey.delay_days
    return None if delay is None else -max(delay, 0.0)


def component(name: str) -> Score:
    """The journey's mean of one component."""
    return lambda journey: _mean((c.importance, getattr(c.experience, name)) for c in journey.contacts)


def at(touchpoint: str) -> Score:
    """The journey's mean x at one touchpoint."""
    return lambda journey: _mean((1.0, c.experience.x) for c in journey.contacts if c.touchpoint == touchpoint)


def weighted(weights: dict[str, float]) -> Score:
    """The journey's mean x if the components had these weights everywhere."""

    def x(contact: Contact) -> float | None:
        experience = contact.experience
        if experience.outcome is None:
            return None
        return _mean((weight, getattr(experience, name)) for name, weight in weights.items())

    return lambda journey: _mean((contact.importance, x(contact)) for contact in journey.contacts)


def _mean(parts: Iterable[tuple[float, float | None]]) -> float | None:
    """Weighted mean of the values that are there."""
    total = weight = 0.0
    for share, value in parts:
        if value is not None:
            total += share * value
            weight += share
    return total / weight if weight else None


def separation(journeys: Sequence[Journey], score: Score, *, reweight: bool = False) -> tuple[Auc, int]:
    """AUC of `score` (unhappy answers low), and how many journeys have it; `reweight` undoes the sample's choice."""
    low: list[tuple[float, float]] = []
    high: list[tuple[float, float]] = []
    for journey in journeys:
        value = score(journey)
        if value is not None:
            weight = 1.0 / SAMPLED if reweight and journey.delivered is not None else 1.0
            (low if journey.stars <= UNHAPPY else high).append((value, weight))
    if not low or not high:
        raise UsageError("the files hold no answers of both kinds, 1-2 and 3-5 stars")
    lower, upper = np.array(low), np.array(high)
    return auc(_column(lower, 0), _column(upper, 0), _column(lower, 1), _column(upper, 1)), len(low) + len(high)


def _column(matrix: Numbers, index: int) -> Numbers:
    column: Numbers = matrix[:, index]
    return column


def render(journeys: Sequence[Journey]) -> str:
    """Everything docs/weights.md shows, as Markdown."""
    unhappy = sum(journey.stars <= UNHAPPY for journey in journeys)
    left_out = sum(journey.left_out for journey in journeys)
    used = sum(len(journey.contacts) for journey in journeys)
    head = (
        f"{len(journeys):,} answered orders, {unhappy:,} of them ({unhappy / len(journeys):.1%}) with 1 or 2 stars; "
        f"{used:,} contacts before the answer were used, {left_out:,} at or after it left out."
    )
    return "\n\n".join((head, _what(journeys), _which(journeys)))


def _what(journeys: Sequence[Journey]) -> str:
    scores: list[tuple[str, Score]] = [
        ("**mean x of the journey, default weights**", mean_x),
        ("peak-end memory", memory),
        ("worst contact", worst),
        ("days of delay alone, early as on time", punctuality),
        *((f"component `{name}` alone", component(name)) for name in _PARTS),
        (f"`{DELIVERY}` alone", at(DELIVERY)),
        ("`seller.handover` alone", at("seller.handover")),
    ]
    rows = []
    for label, score in scores:
        found, count = separation(journeys, score)
        whole, _ = separation(journeys, score, reweight=True)
        rows.append([label, str(found), f"{whole.value:.3f}", f"{count:,}"])
    delivered = [journey for journey in journeys if journey.delivered is not None]
    found, count = separation(delivered, mean_x)
    rows.append(["mean x, orders that were delivered in the end", str(found), f"{found.value:.3f}", f"{count:,}"])
    return table(("score", "AUC (95 % interval)", "weighted back to the full set", "orders"), rows)


def _which(journeys: Sequence[Journey]) -> str:
    default: dict[str, float] = {name: DEFAULT_WEIGHTS[name] for name in _PARTS}
    variants: list[tuple[str, dict[str, float]]] = [
        ("default: outcome 2, promise 2, effort 1, wait 1", default),
        ("all equal", dict.fromkeys(_PARTS, 1.0)),
    ]
    for name in _PARTS:
        variants.append((f"`{name}` doubled", {**default, name: 2.0 * default[name]}))
        variants.append((f"without `{name}`", {**default, name: 0.0}))
    rows = [[label, str(separation(journeys, weighted(weights))[0])] for label, weights in variants]
    return table(("weights", "AUC (95 % interval)"), rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: returns the exit code, 1 if the figure is too good to be honest."""
    parser = argparse.ArgumentParser(prog="python -m bench.auc", description=__doc__)
    parser.add_argument("files", nargs="+", help="Olist's CSV files, or their folder")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/weights.md")
    options = parser.parse_args(arguments)
    try:
        journeys = read(options.files)
        text = render(journeys)
        print(text)
        if options.write:
            put(DOCS / "weights.md", "auc", text)
    except StopProcess as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    value = separation(journeys, mean_x)[0].value
    if value > TOO_GOOD:
        print(f"error: {value:.3f} is above {TOO_GOOD}: something from after the answer leaks in", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
