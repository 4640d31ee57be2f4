"""Objectives as rules: negative share, burn rate and budget left are recorded, fast burning is alerted on.

Multiwindow, multi-burn-rate alerts after Google's SRE Workbook (Beyer et al. 2018, chapter 5). What is added: a minimum
of negative contacts, so that a ratio alone never pages, and nothing instead of a share where there was no contact.
"""

from collections.abc import Iterator

from schemas.incident import Severity
from schemas.objective import Objective
from sinks.prometheus import names, texts
from sinks.prometheus.names import Group, Rule, duration, record, selector

#: Longer windows are made of recorded increases of 5 minutes. They are increases, not ratios, and every contact is in
#: as many of them: a ratio of their sums weighs each the same.
_RAW_UNTIL_S = 6 * 3600.0
_INTERVAL = "30s"


def objective_groups(objectives: tuple[Objective, ...], minimum_bad: int, runbooks: str) -> Iterator[Group]:
    """One group of rules for each objective, and before them the weights of the touchpoints, if one needs them."""
    if any(objective.scope == "journey" for objective in objectives):
        yield {"name": "corredor-importance", "interval": _INTERVAL, "rules": [_weights()]}
    for objective in objectives:
        rules = _Rules(objective, minimum_bad)
        group = [*rules.records(), *rules.alerts(runbooks)]
        yield {"name": f"corredor-objective-{objective.name}", "interval": _INTERVAL, "rules": group}


def _weights() -> Rule:
    """The importance of each touchpoint; 1 for one that the map does not name. Remembered while a worker restarts."""
    named = f"max by (touchpoint) (last_over_time({names.IMPORTANCE}[1h]))"
    seen = f"max by (touchpoint) (0 * last_over_time({names.CONTACTS}[1h]) + 1)"
    return record(names.WEIGHT, f"{named}\nor\n{seen}")


class _Rules:
    """The rules of one objective."""

    def __init__(self, objective: Objective, minimum_bad: int) -> None:
        self._objective = objective
        self._minimum_bad = minimum_bad
        #: The share of negative contacts that is allowed, 0 to 1.
        self._allowed = round(1.0 - objective.share, 12)
        self._labels = {"objective": objective.name, "scope": objective.scope}
        self._about: dict[str, str] = {str(objective.scope): objective.of} if objective.of else {}

    def records(self) -> Iterator[Rule]:
        """What is recorded, in the order in which one is made from another."""
        labels = {**self._labels, **self._about}
        yield record(names.TARGET, f"vector({self._objective.share:.12g})", labels)
        yield record(names.CONTACTS_5M, self._grown(names.CONTACTS, 300), labels)
        yield record(names.NEGATIVE_5M, self._grown(names.NEGATIVE, 300), labels)
        yield record(names.EVIDENCE_5M, self._seen(300), labels)
        tiers = self._objective.alerts()
        for window in sorted({window for tier in tiers for window in (tier.long, tier.short)}):
            mine = {**labels, "window": duration(window)}
            yield record(names.SHARE, self._share(window), mine)
            share = names.SHARE + selector({"objective": self._objective.name, "window": duration(window)})
            yield record(names.BURN_RATE, f"{share} / {self._allowed:.12g}", mine)
        for window in sorted({tier.long for tier in tiers}):
            yield record(names.EVIDENCE, self._evidence(window), {**labels, "window": duration(window)})
        left = f"1 - {self._summed_share(self._objective.over)} / {self._allowed:.12g}"
        yield record(names.BUDGET_LEFT, left, labels)

    def alerts(self, runbooks: str) -> Iterator[Rule]:
        """One alert for each severity, over its tiers."""
        severities: tuple[Severity, ...] = ("page", "ticket")
        for severity in severities:
            tiers = [tier for tier in self._objective.alerts() if tier.severity == severity]
            if not tiers:
                continue
            burning = "\n  or\n".join(self._burning(tier.burn_rate, tier.long, tier.short) for tier in tiers)
            yield {
                "alert": "CorredorBudgetBurn",
                "expr": f"max without (window) (\n{burning}\n)",
                "labels": {
                    "severity": severity,
                    "objective": names.literal(self._objective.name),
                    **names.EXPERIENCE,
                },
                "annotations": texts.burn(self._objective, min(tier.long for tier in tiers)).annotations(
                    "CorredorBudgetBurn", runbooks
                ),
            }

    def _burning(self, burn_rate: float, long: float, short: float) -> str:
        """The budget burns this fast in the long window, still does in the short one, and there is evidence."""

        def of(name: str, window: float) -> str:
            return name + selector({"objective": self._objective.name, "window": duration(window)})

        return (
            f"  (\n    {of(names.BURN_RATE, long)} > {burn_rate:.12g}\n"
            f"    and ignoring (window) {of(names.BURN_RATE, short)} > {burn_rate:.12g}\n"
            f"    and ignoring (window) {of(names.EVIDENCE, long)} >= {self._minimum_bad}\n  )"
        )

    def _share(self, window: float) -> str:
        """Negative contacts of all, over a window; nothing, rather than 0, where there were none."""
        if window > _RAW_UNTIL_S:
            return self._summed_share(window)
        return f"{self._grown(names.NEGATIVE, window)}\n/\n({self._grown(names.CONTACTS, window)} > 0)"

    def _summed_share(self, window: float) -> str:
        range_ = f"{selector({'objective': self._objective.name})}[{duration(window)}]"
        return f"sum_over_time({names.NEGATIVE_5M}{range_}) / (sum_over_time({names.CONTACTS_5M}{range_}) > 0)"

    def _grown(self, metric: str, window: float) -> str:
        """How much a counter grew, over all workers, weighted where the objective says so."""
        grown = f"increase({metric}{selector(self._about)}[{duration(window)}])"
        if self._objective.scope == "journey":
            grown += f" * on (touchpoint) group_left () {names.WEIGHT}"
        return f"sum by (tenant) ({grown})"

    def _evidence(self, window: float) -> str:
        """Negative contacts in a window; a long one is filled with pieces of 5 minutes that do not overlap."""
        if window <= _RAW_UNTIL_S:
            return self._seen(window)
        mine = selector({"objective": self._objective.name})
        return f"sum_over_time({names.EVIDENCE_5M}{mine}[{duration(window)}:5m])"

    def _seen(self, window: float) -> str:
        """Negative contacts, each counting 1, never more than there were.

        `increase` extrapolates to the whole window: of a counter that is seconds old it makes 8 out of 3. What the
        counter itself says is the most that can be. (After a restart that is what came since.)
        """
        counter = f"{names.NEGATIVE}{selector(self._about)}[{duration(window)}]"
        seen = f"(increase({counter}) < last_over_time({counter})) or last_over_time({counter})"
        if self._objective.scope == "journey":
            seen = f"({seen}) and on (touchpoint) {names.WEIGHT} > 0"
        return f"sum by (tenant) ({seen})"
