"""An hour of a corridor: a checkout that fell, a customer who was there, an incident that says so."""

from typing import Any

import msgspec

from schemas.incident import Cause, Incident
from schemas.rejection import Reason
from schemas.standing import Standing
from schemas.transition import TransitionSlice
from tests.sinks.rows import NOON, rejected, score, scored

#: What a pseudonym may look like at worst.
SUBJECT = "ana<script>'é"
JOURNEY = "order-7/ñ"
INCIDENT = "0123456789abcdef"
WORST = "web.checkout"


def incident(**changes: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": INCIDENT,
        "kind": "drop",
        "measure": "negative",
        "tenant": "default",
        "touchpoint": WORST,
        "status": "open",
        "severity": "page",
        "since": NOON - 600,
        "detected_at": NOON - 560,
        "updated_at": NOON,
        "before": 0.02,
        "now": 0.2,
        "unit": "share",
        "depth": 0.18,
        "n": 100,
        "bad": 20,
        "hurt": 18,
        "causes": (Cause("device", "mobile", 0.9, 0.16, 0.01, 0.02, 0.5, 40),),
        "version": 3,
    }
    return Incident(**(fields | changes))


def journey(name: str, **changes: Any) -> dict[str, Any]:
    own = {
        "tenant": "default",
        "subject": SUBJECT,
        "journey": name,
        "version": 1,
        "origin": "touchpoint.events/0",
        "status": "open",
        "started_at": NOON - 900,
        "last_at": NOON - 100,
        "first_touchpoint": "web.search",
        "last_touchpoint": WORST,
        "contacts": 3,
        "effort": 2.1,
        "channels": ["web", "support"],
        "channel_switches": 1,
        "repeats": 0,
        "elapsed_s": 800.0,
        "active_ms": 0,
        "wait_ms": 9000,
        "consistency": 0.4,
        "unaccompanied_s": 800.0,
        "peak_x": 0.05,
        "last_x": 0.3,
        "memory": 0.175,
        "memory_band": "negative",
        "score": 41.0,
        "scored": 3,
    }
    return own | changes


def way(touchpoint: str, following: str, n: int, wait_ms: int) -> TransitionSlice:
    return TransitionSlice(
        tenant="default",
        touchpoint=touchpoint,
        following=following,
        segment="",
        segment_value="",
        bucket=NOON - 120,
        origin="touchpoint.events/0",
        part=1,
        version=2,
        n=n,
        wait_n=n if touchpoint else 0,
        wait_ms_sum=n * wait_ms,
        waits={300: n} if touchpoint else {},
    )


def tables() -> dict[str, list[Any]]:
    """The rows by table."""
    known = {"n": 200, "scored": 200, "gap_n": 50, "gap": -0.4, "gap_broken": 0.3, "wait_n": 200, "apdex": 0.62}
    survey = {"nps": 12.0, "nps_low": 3.0, "nps_high": 21.0, "nps_n": 40, "csat": 71.0, "csat_low": 60.0}
    survey |= {"csat_high": 80.0, "csat_n": 55, "ces": 5.1, "ces_low": 4.8, "ces_high": 5.4, "ces_n": 33}
    scores = [
        score(
            name=WORST,
            at=NOON - 10 * step,
            **known,
            **survey,
            score=35.0 + step,
            score_low=30.0,
            score_high=60.0,
            negative=0.4,
            negative_low=0.3,
            negative_high=0.5,
            neutral=0.2,
            positive=0.4,
        )
        for step in range(60)
    ]
    scores += [score(name=WORST, window=window, at=NOON, n=900, scored=900, score=58.0) for window in ("1h", "24h")]
    scores += [
        score(name=WORST, segment="device", segment_value="mobile", at=NOON, n=90, scored=90, score=12.0),
        score(name="web.search", at=NOON, n=300, scored=300, score=91.0, score_low=90.0, score_high=92.0),
        score(name="web.cart", at=NOON, n=3, scored=3),
        score(scope="corridor", name="", at=NOON, n=500, scored=500, score=80.0),
    ]
    events = [
        scored(1, touchpoint="web.search", time=NOON - 900.0, x=0.9, band="positive"),
        scored(
            2,
            touchpoint=WORST,
            time=NOON - 500.0,
            x=0.05,
            band="negative",
            outcome="failure",
            x_outcome=0.0,
            x_wait=0.3,
            wait_ms=9000,
            gap=-1.5,
        ),
        scored(
            3,
            touchpoint="support.contact",
            channel="support",
            time=NOON - 100.0,
            x=0.3,
            band="negative",
            outcome="partial",
        ),
    ]
    events = [msgspec.structs.replace(one, subject=SUBJECT, journey=JOURNEY) for one in events]
    standing = Standing(
        tenant="default",
        touchpoint=WORST,
        at=NOON,
        version=1,
        window_s=86400,
        arrivals=1840,
        scored=1836,
        score=58.0,
        score_low=56.0,
        score_high=60.0,
        target_score=80.0,
        shortfall=22.0,
        shortfall_low=20.0,
        shortfall_high=24.0,
        goal_chance=0.8,
        goal_chance_low=0.7,
        goal_chance_high=0.9,
        importance=0.52,
        importance_low=0.5,
        importance_high=0.54,
        priority=21049.6,
        priority_low=19000.0,
        priority_high=23000.0,
    )
    return {
        "experience_scores": scores,
        "experience_slices": [
            way("", "web.search", 400, 0),
            way("web.search", "web.product", 300, 2_000),
            way("web.cart", WORST, 90, 5_000),
            way(WORST, "web.payment", 40, 400_000),
            way(WORST, "@abandoned", 50, 0),
            way("web.search", "kiosk", 30, 900),
        ],
        "touchpoint_events": events,
        "journeys": [
            journey(JOURNEY),
            journey("order-8", status="reached", memory_band="positive", last_at=NOON - 800),
        ],
        "incidents": [
            incident(),
            incident(
                id="fedcba9876543210",
                kind="congestion",
                measure="wait",
                touchpoint="web.search",
                following="web.product",
                unit="ms",
                before=2000.0,
                now=9000.0,
                severity="ticket",
                causes=(),
            ),
            incident(
                id="aa11",
                status="resolved",
                since=NOON - 3000,
                detected_at=NOON - 2900,
                updated_at=NOON - 2000,
                resolved_at=NOON - 2000,
                ended_at=NOON - 2400,
                causes=(),
            ),
        ],
        "corridor": [standing],
        "rejected_events_landing": [rejected(reason=Reason.INVALID_JSON, received_at=0.0)],
    }
