"""Payouts: what they contain, when they arrive, how they come back, and how they are listed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import kinds, paid_session
from tests.unit.sandbox.test_disputes import FEE, balance_of


async def test_an_automatic_payout_contains_what_became_available(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H6: the payout lists its very transactions, and its own."""
    first = await paid_session(standin, client)
    standin.refund(first["id"], 1000)
    assert standin.pay_out() == []
    standin.set_clock(datetime.now(UTC) + timedelta(days=3))
    await paid_session(standin, client)
    (payout,) = standin.pay_out()
    assert payout["amount"] == 3000 - FEE - 1000
    inside = await client.v1.balance_transactions.list_async(
        params={"payout": payout["id"], "expand": ["data.source"]}
    )
    assert [row.reporting_category for row in inside.data] == ["payout", "refund", "charge"]
    assert [type(row.source) for row in inside.data] == [stripe.Payout, stripe.Refund, stripe.Charge]
    assert sum(row.net for row in inside.data) == 0
    assert await balance_of(client) == 3000 - FEE
    assert standin.pay_out() == []


async def test_everything_can_be_paid_out_at_once(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H6: one payout per currency."""
    await paid_session(standin, client)
    dollars = {"price_data": {"currency": "usd", "unit_amount": 2000, "product_data": {"name": "Seat"}}}
    await paid_session(standin, client, line_items=[{**dollars, "quantity": 1}])
    made = standin.pay_out(everything=True)
    assert [(row["currency"], row["amount"]) for row in made] == [("eur", 3000 - FEE), ("usd", 2000 - 55)]
    parts = (await client.v1.balance.retrieve_async()).available
    assert [(row.currency, row.amount) for row in parts] == [("usd", 0), ("eur", 0)]


async def test_a_payout_arrives_by_the_clock(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H6"""
    await paid_session(standin, client, "4000000000000077")
    (payout,) = standin.pay_out()
    on_its_way = await client.v1.payouts.list_async(params={"status": "in_transit"})
    assert [row.id for row in on_its_way.data] == [payout["id"]]
    standin.set_clock(datetime.fromtimestamp(payout["arrival_date"], UTC))
    assert (await client.v1.payouts.retrieve_async(payout["id"])).status == "paid"
    assert [kind for kind in kinds(standin) if kind.startswith("payout.")] == [
        "payout.created",
        "payout.updated",
        "payout.paid",
    ]
    with pytest.raises(StripeError, match="status of paid"):
        standin.finish_payout(payout["id"])


async def test_a_payout_may_fail_after_it_was_paid(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H6: the money is in the balance again, and the next payout takes it along."""
    await paid_session(standin, client)
    (payout,) = standin.pay_out(everything=True)
    standin.finish_payout(payout["id"])
    standin.fail_payout(payout["id"])
    failed = await client.v1.payouts.retrieve_async(
        payout["id"], params={"expand": ["failure_balance_transaction"]}
    )
    returned = failed.failure_balance_transaction
    assert isinstance(returned, stripe.BalanceTransaction)
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    assert (returned.type, returned.reporting_category, returned.amount) == (
        "payout_failure",
        "payout_reversal",
        3000 - FEE,
    )
    assert kinds(standin)[-1] == "payout.failed"
    with pytest.raises(StripeError, match="status of failed"):
        standin.fail_payout(payout["id"])
    (again,) = standin.pay_out()
    assert (again["amount"], await balance_of(client)) == (3000 - FEE, 0)


async def test_payouts_by_hand(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 3: the stand-in grows payouts; by hand, never more than is available."""
    await paid_session(standin, client, "4000000000000077")
    asked: Any = {"amount": 2000, "currency": "EUR", "metadata": {"for": "hall"}}
    by_hand = await client.v1.payouts.create_async(params=asked)
    assert (by_hand.status, by_hand.automatic, by_hand.currency) == ("pending", False, "eur")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payouts.create_async(params=asked)
    assert refused.value.code == "balance_insufficient"
    with pytest.raises(stripe.InvalidRequestError, match="automatic"):
        await client.v1.balance_transactions.list_async(params={"payout": by_hand.id})
    assert (await client.v1.payouts.cancel_async(by_hand.id)).status == "canceled"
    assert await balance_of(client) == 3000 - FEE
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        await client.v1.payouts.cancel_async(by_hand.id)


async def test_payouts_are_listed_by_their_days(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 3 section 4: the reconciler lists payouts."""
    await paid_session(standin, client, "4000000000000077")
    (payout,) = standin.pay_out()
    day = payout["arrival_date"]
    wanted: list[tuple[Any, int]] = [({"gte": day}, 1), ({"gt": day}, 0), (day, 1)]
    for arrival, number in wanted:
        params: Any = {"arrival_date": arrival}
        assert len((await client.v1.payouts.list_async(params=params)).data) == number
    assert (await client.v1.payouts.list_async(params={"created": {"gt": payout["created"]}})).data == []


async def test_every_account_has_its_own(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: E2"""
    options: Any = {"stripe_account": "acct_1"}
    await paid_session(standin, client, account="acct_1")
    assert standin.pay_out(everything=True) == []
    (payout,) = standin.pay_out("acct_1", everything=True)
    assert (await client.v1.payouts.list_async()).data == []
    theirs = await client.v1.balance_transactions.list_async(params={"payout": payout["id"]}, options=options)
    assert [row.type for row in theirs.data] == ["payout", "charge"]
    assert kinds(standin, "acct_1")[-1] == "payout.created"
