"""More buyers than Stripe takes calls: they wait their turn with tickets held, and none is sent away (spec: L9)."""

import asyncio
import time

import pytest

from shared import stripe_pacing
from shared.contracts.payment_errors import PaymentsUnavailable
from shared.stripe_pacing import Crowded, Pacer
from tests.road import Road
from tests.support import signed_in_client

BUYERS = 12


async def test_a_rush_is_served(road: Road) -> None:
    """Twelve at once where Stripe takes four a second of a kind: each gets a payment page, nobody an error."""
    kind = await road.world.sell("rush", page="rush", capacity=BUYERS)
    road.standin.limit_rate(per_endpoint=4)
    clients = [await signed_in_client(road.app, f"buyer{number}@example.org") for number in range(BUYERS)]
    for client in clients:
        await road.world.put(client.user_id, kind, 1)
    seen = [await road.world.seen(client.user_id) for client in clients]
    answers = await asyncio.gather(
        *(
            client.post("/checkout", form={"fingerprint": mark})
            for client, mark in zip(clients, seen, strict=True)
        )
    )
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["Location"].startswith(road.standin.url) for answer in answers} == {True}
    assert await road.world.allocated(kind) == BUYERS


async def test_who_waits_too_long_is_told_and_keeps_the_tickets(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little patience, then words: many are paying, the tickets stay held, and going on works."""
    monkeypatch.setattr(stripe_pacing, "PATIENCE", 0.3)
    road.standin.fail_next("/v1/checkout/*", 429, times=50, kept=False)
    await road.world.put(road.buyer.user_id, road.kind, 2)
    form = {"fingerprint": await road.world.seen(road.buyer.user_id)}
    answer = await road.buyer.post("/checkout", form=form, follow_redirects=True)
    page = await answer.get_data(as_text=True)
    assert "Very many people are paying at this moment" in page
    assert "Continue to payment" in page
    assert await road.world.allocated(road.kind) == 2
    road.standin.standin.failures.wishes.clear()
    again = await road.buyer.post("/checkout", form=form)
    assert again.headers["Location"].startswith(road.standin.url)


async def test_turns_are_spaced() -> None:
    """Of one kind at most twenty a second, in order; another kind and another account have turns of their own."""
    pacer, order = Pacer(), []

    async def ask(number: int) -> None:
        order.append(number)

    began = time.monotonic()
    await asyncio.gather(*(pacer.patiently("a", "", lambda n=n: ask(n)) for n in range(5)))  # type: ignore[misc]
    assert time.monotonic() - began >= 4 / stripe_pacing.PER_SECOND
    assert order == [0, 1, 2, 3, 4]


async def test_a_queue_that_is_too_long_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose turn would come after their patience does not wait for it."""
    monkeypatch.setattr(stripe_pacing, "PATIENCE", 0.1)
    pacer, asked = Pacer(), []

    async def ask() -> None:
        asked.append(1)

    answers = await asyncio.gather(
        *(pacer.patiently("a", "", ask) for _ in range(10)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Crowded)]
    assert len(refused) + len(asked) == 10
    assert 2 <= len(asked) <= 4
    assert issubclass(Crowded, PaymentsUnavailable), "to whoever holds stock it is no answer"
