"""Objectives: how many contacts may be bad, and how fast that budget may burn before somebody is told."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.duration import Duration
from schemas.event import Name
from schemas.incident import Severity

#: What an objective is about: one touchpoint; one stage; all contacts, each counting once; or all contacts, each
#: counting by its touchpoint's importance.
ObjectiveScope = Literal["touchpoint", "stage", "corridor", "journey"]
_DAY_S = 86400
_HOUR_S = 3600
DEFAULT_OVER = Duration(30 * _DAY_S)


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """An alert when the budget burns this fast in both windows: the long one is the evidence, the short says "still".

    Burn rate: the share of negative contacts as a multiple of the share that the objective allows. At 1 the budget is
    used up exactly at the end of the objective's time. No share is above 1, so a tier can only fire if the objective is
    above 1 - 1 / burn rate.
    """

    burn_rate: Annotated[float, Meta(gt=0, le=1000, description="how many times as fast as the budget allows")]
    long: Annotated[Duration, Meta(description="window that is the evidence")]
    short: Annotated[Duration, Meta(description="window that says it still burns")]
    severity: Annotated[Severity, Meta(description="who is told")]

    def can_fire(self, target: float) -> bool:
        """Whether a share of negative contacts below 1 reaches it; `target` is a share, 0 to 1."""
        # Rounded, so that 10 times the 10 % of a target of 90 % is all contacts, not a hair less.
        return round(self.burn_rate * (1.0 - target), 9) < 1.0


#: The multiwindow, multi-burn-rate alerts of Google's SRE Workbook (Beyer et al. 2018, chapter 5, table 5-8).
STANDARD_TIERS = (
    Tier(14.4, Duration(_HOUR_S), Duration(300), "page"),
    Tier(6.0, Duration(6 * _HOUR_S), Duration(1800), "page"),
    Tier(3.0, Duration(_DAY_S), Duration(2 * _HOUR_S), "ticket"),
    Tier(1.0, Duration(3 * _DAY_S), Duration(6 * _HOUR_S), "ticket"),
)


class Objective(Struct, frozen=True, forbid_unknown_fields=True):
    """How many contacts should not be negative, over which time."""

    name: Annotated[Name, Meta(description="name of the objective, part of its alerts")]
    scope: Annotated[ObjectiveScope, Meta(description="what it is about")]
    target: Annotated[float, Meta(gt=0, lt=100, description="percent of scored contacts that should not be negative")]
    of: Annotated[
        str, Meta(max_length=128, description="the touchpoint or stage; empty for the corridor and for journeys")
    ] = ""
    over: Annotated[Duration, Meta(description="the time that the budget is for")] = DEFAULT_OVER
    tiers: Annotated[
        tuple[Tier, ...], Meta(max_length=8, description="its alerts; default: the standard ones that can fire")
    ] = ()

    @property
    def share(self) -> float:
        """The target as a share, 0 to 1."""
        return self.target / 100.0

    def alerts(self) -> tuple[Tier, ...]:
        """The tiers that are alerted on."""
        return self.tiers or tuple(tier for tier in STANDARD_TIERS if tier.can_fire(self.share))
