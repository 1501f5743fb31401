"""Disputes: the money goes at once, comes back when won, and nothing of it shows in `amount_refunded`."""

from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import kinds, paid_session

FEE = 3000 * 15 // 1000 + 25  # of a payment of 30.00


async def balance_of(client: stripe.StripeClient) -> int:
    """All of the balance in minor units, available and pending."""
    balance = await client.v1.balance.retrieve_async()
    return sum(row.amount for row in balance.available) + sum(row.amount for row in balance.pending)


@pytest.mark.parametrize("by_number", [True, False])
async def test_a_dispute_takes_the_money_at_once(
    standin: RunningStandin, client: stripe.StripeClient, by_number: bool
) -> None:
    """spec: E4: amounts stand in the balance transactions, `amount_refunded` stays 0."""
    session = await paid_session(standin, client, "4000000000000259" if by_number else "4242424242424242")
    if not by_number:
        standin.dispute(session["id"])
    dispute = (await client.v1.disputes.list_async()).data[0]
    taken = dispute.balance_transactions[0]
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 3000)
    assert (taken.amount, taken.fee, taken.net) == (-3000, 1500, -4500)
    assert (taken.type, taken.reporting_category, taken.source) == ("adjustment", "dispute", dispute.id)
    charge = await client.v1.charges.retrieve_async(str(dispute.charge))
    assert (charge.disputed, charge.amount_refunded, charge.refunded) == (True, 0, False)
    assert kinds(standin)[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert await balance_of(client) == 3000 - FEE - 4500


async def test_a_charge_that_was_charged_back_cannot_be_refunded(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 3 section 3: a refund refused because the charge is disputed waits for the dispute."""
    session = await paid_session(standin, client)
    dispute = standin.dispute(session["id"], reason="product_not_received")
    params: Any = {"payment_intent": session["payment_intent"]}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.refunds.create_async(params=params)
    assert (refused.value.http_status, refused.value.code) == (400, "charge_disputed")
    standin.win_dispute(dispute["id"])
    assert (await client.v1.refunds.create_async(params=params)).status == "succeeded"


async def test_a_won_dispute_gives_back_amount_and_fee(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H4"""
    session = await paid_session(standin, client)
    before = await balance_of(client)
    dispute_id = standin.dispute(session["id"], 1200)["id"]
    standin.win_dispute(dispute_id)
    dispute = await client.v1.disputes.retrieve_async(dispute_id)
    back = dispute.balance_transactions[1]
    assert (dispute.status, back.amount, back.fee, back.net) == ("won", 1200, -1500, 2700)
    assert (back.type, back.reporting_category) == ("adjustment", "dispute_reversal")
    assert await balance_of(client) == before
    assert kinds(standin)[-2:] == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]
    at_opening = standin.events("charge.dispute.created")[0]["data"]["object"]
    assert (at_opening["status"], len(at_opening["balance_transactions"])) == ("needs_response", 1)


async def test_a_lost_dispute_keeps_the_money(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H4; a second decision is refused."""
    session = await paid_session(standin, client)
    dispute_id = standin.dispute(session["id"])["id"]
    assert (await client.v1.disputes.close_async(dispute_id)).status == "lost"
    assert kinds(standin)[-1] == "charge.dispute.closed"
    for decide in (standin.win_dispute, standin.lose_dispute, standin.escalate_dispute):
        with pytest.raises(StripeError):
            decide(dispute_id)
    assert await balance_of(client) == 3000 - FEE - 4500


async def test_an_inquiry_withdraws_nothing_and_can_be_refunded(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H4: an inquiry blocks nothing."""
    session = await paid_session(standin, client, "4000000000001976")
    inquiry = (
        await client.v1.disputes.list_async(params={"payment_intent": session["payment_intent"]})
    ).data[0]
    assert (inquiry.status, inquiry.balance_transactions) == ("warning_needs_response", [])
    assert await balance_of(client) == 3000 - FEE
    standin.refund(session["id"], 500)
    standin.lose_dispute(inquiry.id)
    assert (await client.v1.disputes.retrieve_async(inquiry.id)).status == "warning_closed"
    assert "charge.dispute.funds_withdrawn" not in kinds(standin)


async def test_an_inquiry_may_become_a_dispute(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H4"""
    session = await paid_session(standin, client)
    inquiry = standin.dispute(session["id"], inquiry=True)
    standin.escalate_dispute(inquiry["id"])
    dispute = await client.v1.disputes.retrieve_async(inquiry["id"])
    assert (dispute.status, dispute.balance_transactions[0].net) == ("needs_response", -4500)
    assert kinds(standin)[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]


async def test_evidence_decides(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H4; Stripe's testing page: texts that win and lose."""
    session = await paid_session(standin, client)
    dispute_id = standin.dispute(session["id"])["id"]
    staged: Any = {"evidence": {"customer_name": "Mira"}, "submit": False}
    assert (await client.v1.disputes.update_async(dispute_id, params=staged)).status == "needs_response"
    sent: Any = {"evidence": {"uncategorized_text": "She was scanned at the door."}}
    under_review = await client.v1.disputes.update_async(dispute_id, params=sent)
    assert (under_review.status, under_review.evidence.customer_name) == ("under_review", "Mira")
    winning: Any = {"evidence": {"uncategorized_text": "winning_evidence"}}
    assert (await client.v1.disputes.update_async(dispute_id, params=winning)).status == "won"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        await client.v1.disputes.update_async(dispute_id, params=sent)


async def test_a_pending_refund_fails_when_the_charge_is_disputed(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Stripe: failure_reason charge_for_pending_refund_disputed; the buyer is not paid twice."""
    session = await paid_session(standin, client)
    standin.hold_refunds()
    refund_id = standin.refund(session["id"], 1000)["id"]
    standin.dispute(session["id"])
    refund = await client.v1.refunds.retrieve_async(refund_id)
    assert (refund.status, refund.failure_reason) == ("failed", "charge_for_pending_refund_disputed")


async def test_what_cannot_be_disputed(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Bad input is told, and changes nothing."""
    session = await paid_session(standin, client)
    with pytest.raises(StripeError, match="amount"):
        standin.dispute(session["id"], 3001)
    with pytest.raises(StripeError, match="reason"):
        standin.dispute(session["id"], reason="because")
    standin.dispute(session["id"])
    with pytest.raises(StripeError, match="open dispute"):
        standin.dispute(session["id"])
    assert len((await client.v1.disputes.list_async()).data) == 1
