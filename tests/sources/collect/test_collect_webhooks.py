"""Payloads in the shapes that help desks, shops, couriers and survey tools send become the events of DOMAIN.md."""

from typing import Any

import msgspec
import pytest

from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from sources.collect import keys_file
from sources.collect.contract import check
from sources.collect.webhooks import SHIPPED, Hook
from streams.runtime.settings import DEFAULT_MAP
from tests.builders import NOW

_decode = msgspec.json.Decoder(TouchpointEvent).decode


@pytest.fixture(scope="module")
def hooks() -> dict[str, Hook]:
    return keys_file.without_file()[1]


def events(hook: Hook, payload: dict[str, Any]) -> list[TouchpointEvent]:
    sent = hook.events(msgspec.json.encode(payload))
    return [_decode(check(each, NOW + 86_400).value) for each in sent]


def ticket(kind: str, time: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt-{kind}-{time}",
        "type": f"ticket.{kind}",
        "time": time,
        "ticket": {
            "id": 4711,
            "requester_id": "c-9",
            "created_at": "2026-11-21T10:00:00Z",
            "due_at": "2026-11-21T18:00:00Z",
            "reason": "delivery",
            "priority": "high",
            "via": "chat",
            "reopens": 0,
            **changes.pop("ticket", {}),
        },
        **changes,
    }


def test_a_help_desk_ticket_from_its_creation_to_its_second_solution(hooks: dict[str, Hook]) -> None:
    desk = hooks["help-desk"]
    (created,) = events(desk, ticket("created", "2026-11-21T10:00:00Z"))
    assert (created.data.touchpoint, created.data.outcome, created.data.initiator) == (
        "support.contact",
        "success",
        "customer",
    )
    assert (created.subject, created.data.journey, created.source) == ("c-9", "4711", "/help-desk")
    assert created.data.segment == {"reason": "delivery", "priority": "high", "contact_type": "chat"}
    asked = {"waiting_since": "2026-11-21T10:00:00Z", "transfers_since_reply": 1}
    reply = ticket("replied", "2026-11-21T10:07:30Z", comment={"author_role": "agent"}, ticket=asked)
    (replied,) = events(desk, reply)
    assert (replied.data.touchpoint, replied.data.wait_ms, replied.data.transfers) == ("support.answer", 450_000, 1)
    (again,) = events(desk, ticket("replied", "2026-11-21T10:09:00Z", comment={"author_role": "end-user"}))
    assert (again.data.touchpoint, again.data.outcome) == ("support.contact", "pending")
    (solved,) = events(desk, ticket("solved", "2026-11-21T20:00:00Z"))
    assert solved.data.expectation is not None
    assert (solved.data.expectation.expected, solved.data.expectation.actual, solved.data.attempts) == (8.0, 10.0, 1)
    (reopened,) = events(desk, ticket("reopened", "2026-11-21T21:00:00Z", ticket={"reopens": 1}))
    assert (reopened.data.touchpoint, reopened.data.outcome, reopened.data.attempts) == (
        "support.resolution",
        "failure",
        2,
    )


def test_a_shop_order_from_checkout_to_refund(hooks: dict[str, Hook]) -> None:
    shop = hooks["shop"]
    order = {
        "id": "o-1",
        "cart_id": "cart-1",
        "customer_id": "c-9",
        "total": "59.90",
        "currency": "EUR",
        "started_at": "2026-11-21T09:59:00Z",
        "attempts": 2,
        "load_ms": 2350,
        "device": "mobile",
        "payment_method": "card",
        "region": "north",
        "payment_attempts": 1,
    }

    def send(topic: str, **more: Any) -> TouchpointEvent:
        payload = {"id": f"{topic}-1", "topic": topic, "created_at": "2026-11-21T10:00:00Z", "order": order, **more}
        (made,) = events(shop, payload)
        assert made.data.journey == "cart-1"
        return made

    done = send("checkout.completed").data
    assert (done.touchpoint, done.outcome, done.attempts, done.wait_ms) == ("web.checkout", "success", 2, 2350)
    assert done.active_ms == 60_000
    assert done.value is not None
    assert (done.value.amount_minor, done.value.currency) == (5990, "EUR")
    assert send("checkout.abandoned").data.outcome == "abandoned"
    assert (send("order.paid").data.touchpoint, send("order.payment_failed").data.outcome) == ("web.payment", "failure")
    refund = {
        "amount": 59.9,
        "requested_at": "2026-11-11T10:00:00Z",
        "promised_at": "2026-11-18T10:00:00Z",
    }
    assert send("refund.created", refund=refund).data.outcome == "pending"
    paid = send("refund.paid", refund=refund).data
    assert paid.expectation is not None
    assert (paid.touchpoint, paid.expectation.expected, paid.expectation.actual) == ("delivery.return", 7.0, 10.0)


def test_a_parcel_promised_attempted_and_delivered_late(hooks: dict[str, Hook]) -> None:
    parcel = {
        "tracking_number": "T1",
        "order_id": "o-1",
        "consignee_id": "c-9",
        "carrier": "swift",
        "region": "north",
        "ordered_at": "2026-11-19T10:00:00Z",
        "promised_at": "2026-11-21T10:00:00Z",
        "attempts": 1,
        "cause": "nobody home",
    }

    def send(kind: str, at: str) -> TouchpointEvent:
        payload = {"event_id": f"{kind}-1", "event": f"parcel.{kind}", "occurred_at": at, "recorded_at": at}
        (made,) = events(hooks["courier"], {**payload, "parcel": parcel})
        assert (made.data.journey, made.recordedtime) == ("o-1", made.time)
        return made

    promised = send("promised", "2026-11-19T12:00:00Z").data
    assert (promised.touchpoint, promised.outcome, promised.wait_ms) == ("delivery.dispatch", "success", 7_200_000)
    attempted = send("attempted", "2026-11-21T09:00:00Z").data
    assert (attempted.touchpoint, attempted.outcome) == ("delivery.attempt", "failure")
    assert attempted.segment == {"carrier": "swift", "region": "north", "cause": "nobody home"}
    delivered = send("delivered", "2026-11-21T22:00:00Z").data
    assert delivered.expectation is not None
    assert (delivered.expectation.expected, delivered.expectation.actual) == (48.0, 60.0)
    assert send("returned", "2026-11-21T23:00:00Z").data.outcome == "failure"


@pytest.mark.parametrize(("kind", "score", "scale"), [("nps", 9, (0, 10)), ("csat", 4, (1, 5)), ("ces", 6, (1, 7))])
def test_a_survey_sent_and_answered(hooks: dict[str, Hook], kind: str, score: int, scale: tuple[int, int]) -> None:
    payload = {
        "response_id": "r-1",
        "at": "2026-11-21T10:00:00Z",
        "survey": {"type": kind, "channel": "email"},
        "respondent": {"customer_id": "c-9", "order_id": "o-1"},
    }
    (invited,) = events(hooks["survey"], {**payload, "event": "invitation.sent"})
    assert (invited.data.touchpoint, invited.data.outcome, invited.data.rating) == (f"survey.{kind}", "pending", None)
    (answered,) = events(hooks["survey"], {**payload, "event": "response.completed", "answer": {"score": score}})
    rating = answered.data.rating
    assert rating is not None
    assert (rating.value, rating.min, rating.max, rating.instrument) == (score, *scale, kind)
    with pytest.raises(RejectEvent, match="out of range"):
        events(hooks["survey"], {**payload, "event": "response.completed", "answer": {"score": 11}})


def test_what_a_mapping_has_nothing_to_say_about_makes_no_event(hooks: dict[str, Hook]) -> None:
    assert events(hooks["help-desk"], {"type": "ticket.tagged"}) == []


def test_the_examples_name_touchpoints_of_the_retail_map() -> None:
    known = {touchpoint.name for touchpoint in load_map(DEFAULT_MAP).touchpoints}
    for file in SHIPPED.glob("*.yaml"):
        for line in file.read_text().splitlines():
            if line.strip().startswith("touchpoint: ") and "{" not in line:
                assert line.split(": ")[1] in known, (file.name, line)
