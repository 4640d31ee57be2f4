"""Every rule of objectives: the message, its line and column, and what to do."""

from pathlib import Path

import pytest

from schemas.loader import Problem, check, load_map
from schemas.objective import STANDARD_TIERS

#: Lines 1 to 6; the objective of a test is line 7.
HEAD = (
    "corridor: shop\nlabel: {en: Shop, es: Tienda}\ntouchpoints:\n"
    "  - {name: web.buy, label: {en: Buy, es: Compra}, channel: web, stage: during, goal: true}\n"
    "  - {name: web.search, label: {en: Search, es: Busca}, channel: web, stage: before}\n"
    "objectives:\n"
)


@pytest.fixture
def problems(tmp_path: Path):
    """Problems of a map with these objectives."""

    def of(objectives: str) -> list[Problem]:
        file = tmp_path / "map.yaml"
        file.write_text(HEAD + objectives)
        found = check(file)
        assert all(problem.file == str(file) for problem in found)
        return found

    return of


def tiered(tier: str, target: float = 99, over: str = "30d") -> str:
    return f"  - {{name: o, scope: corridor, target: {target}, over: {over}, tiers: [{{{tier}}}]}}\n"


#: What is written, then line, column, what is wrong and what to do.
REFUSED = {
    "an unknown touchpoint": (
        "  - {name: o, scope: touchpoint, of: web.by, target: 95}\n",
        (7, 38, "objective `o`: there is no touchpoint `web.by`"),
        "did you mean `web.buy`? name a touchpoint of this map",
    ),
    "an unknown stage": (
        "  - {name: o, scope: stage, of: befor, target: 95}\n",
        (7, 33, "objective `o`: there is no stage `befor`"),
        "did you mean `before`? name one of before, during, after",
    ),
    "no touchpoint": (
        "  - {name: o, scope: touchpoint, target: 95}\n",
        (7, 5, "objective `o` is about one touchpoint and does not say which"),
        "add `of:`, name a touchpoint of this map",
    ),
    "an empty stage": (
        '  - {name: o, scope: stage, of: "", target: 95}\n',
        (7, 33, "objective `o` is about one stage and does not say which"),
        "add `of:`, name one of before, during, after",
    ),
    "a corridor that names a touchpoint": (
        "  - {name: o, scope: corridor, of: web.buy, target: 95}\n",
        (7, 36, "objective `o` is about all contacts (scope `corridor`), not about `web.buy`"),
        "remove `of`, or write `scope: touchpoint`",
    ),
    "a journey that names a stage": (
        "  - {name: o, scope: journey, of: before, target: 95}\n",
        (7, 35, "objective `o` is about all contacts (scope `journey`), not about `before`"),
        "remove `of`",
    ),
    "a name used twice": (
        "  - {name: o, scope: corridor, target: 95}\n  - {name: o, scope: journey, target: 95}\n",
        (8, 12, "duplicate objective `o` (first in line 7)"),
        "remove one of them, or rename it",
    ),
    "a tier that can never fire": (
        tiered("burn_rate: 14.4, long: 1h, short: 5min, severity: page", target=90),
        (
            7,
            75,
            "objective `o`: burn rate 14.4 can never be reached: "
            "14.4 times the 10 % that the target of 90 % allows is 144 % of all contacts",
        ),
        "write a burn rate below 10, or a target above 93.06",
    ),
    "a tier that would fire above all contacts only": (
        tiered("burn_rate: 10, long: 1h, short: 5min, severity: page", target=90),
        (
            7,
            75,
            "objective `o`: burn rate 10 can never be reached: "
            "10 times the 10 % that the target of 90 % allows is 100 % of all contacts",
        ),
        "write a burn rate below 10, or a target above 90",
    ),
    "no standard tier that can fire": (
        "  - {name: o, scope: corridor, target: 0.00000001}\n",
        (7, 40, "objective `o`: none of the standard tiers can fire at a target of 1e-08 %"),
        "write a target above 0, or `tiers` of its own",
    ),
    "a time shorter than a standard tier": (
        "  - {name: o, scope: corridor, target: 95, over: 2d}\n",
        (7, 50, "objective `o`: the time 2d is shorter than a standard tier's long window"),
        "write `over: 3d` or more, or `tiers` of its own",
    ),
    "short as long as long": (
        tiered("burn_rate: 2, long: 1h, short: 60min, severity: page"),
        (7, 95, "objective `o`: the short window (1h) is no shorter than the long (1h)"),
        "write less than 1h",
    ),
    "long longer than the time": (
        tiered("burn_rate: 2, long: 48h, short: 1h, severity: page", over="1d"),
        (7, 83, "objective `o`: the long window (2d) is longer than its time (1d)"),
        "write 1d or less, or a longer `over`",
    ),
    "short below a minute": (
        tiered("burn_rate: 2, long: 1h, short: 30s, severity: page"),
        (7, 95, "objective `o`: the short window of 30s is shorter than 1min"),
        "write 1min or more",
    ),
    "a time below a day": (
        "  - {name: o, scope: corridor, target: 95, over: 12h}\n",
        (7, 50, "objective `o` is over 12h"),
        "write a time from 1d to 90d",
    ),
    "a time above 90 days": (
        "  - {name: o, scope: corridor, target: 95, over: 91d}\n",
        (7, 50, "objective `o` is over 91d"),
        "write a time from 1d to 90d",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_line_and_remedy(name: str, problems) -> None:
    objectives, place, fix = REFUSED[name]
    (found,) = problems(objectives)
    assert (found.line, found.column, found.what) == place
    assert fix in found.fix


def test_what_does_not_fit_its_type_is_told_once(problems) -> None:
    found = problems("  - {name: 3, scope: all, of: [], target: 100, over: soon, tiers: [1, {burn_rate: x}]}\n  - 5\n")
    assert all("objectives[" in problem.what for problem in found)


@pytest.mark.parametrize(
    "objective",
    [
        "{name: o, scope: touchpoint, of: web.buy, target: 99.9, over: 90d}",
        "{name: o, scope: stage, of: after, target: 50, over: 3d}",
        "{name: o, scope: journey, target: 95, over: 1d, tiers: "
        "[{burn_rate: 2, long: 1d, short: 1min, severity: page}]}",
    ],
)
def test_accepted(objective: str, problems) -> None:
    assert problems(f"  - {objective}\n") == []


@pytest.mark.parametrize(("target", "rates"), [(93.06, 4), (93.05, 3), (83.34, 3), (83.33, 2), (66.67, 2), (66.66, 1)])
def test_an_objective_has_the_standard_tiers_that_can_fire(tmp_path: Path, target: float, rates: int) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(HEAD + f"  - {{name: o, scope: corridor, target: {target}}}\n")
    assert load_map(file).objectives[0].alerts() == STANDARD_TIERS[len(STANDARD_TIERS) - rates :]
