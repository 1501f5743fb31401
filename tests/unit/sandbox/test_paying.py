"""Paying: at once, refused, later; and the money going back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import kinds, paid_session, wishes

IBAN, RETURNING_IBAN = "AT611904300234573201", "AT861904300235473202"


async def test_a_good_card_pays(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: C3"""
    await paid_session(standin, client)
    sessions = await client.v1.checkout.sessions.list_async(
        params={"expand": ["data.payment_intent.latest_charge"]}
    )
    session = sessions.data[0]
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert session.customer_details is not None
    assert session.customer_details.email == "buyer@example.com"
    intent = session.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert (intent.status, intent.amount_received, intent.metadata.to_dict()) == (
        "succeeded",
        3000,
        {"order_id": "o1"},
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.paid
    assert kinds(standin) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


async def test_a_declined_card_can_be_followed_by_a_good_one(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5; the peers' "stuck after a decline"."""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    with pytest.raises(StripeError, match="declined") as declined:
        await standin.pay(session.id, "4000000000000002")
    assert declined.value.status == 402
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
    assert (await standin.pay(session.id))["payment_status"] == "paid"
    with pytest.raises(StripeError, match="no longer open"):
        await standin.pay(session.id)
    intents = await client.v1.payment_intents.list_async()
    assert [intent.status for intent in intents.data] == ["succeeded"]
    assert kinds(standin).count("payment_intent.payment_failed") == 1


@pytest.mark.parametrize(
    ("number", "status", "event"),
    [
        (IBAN, "paid", "checkout.session.async_payment_succeeded"),
        (RETURNING_IBAN, "unpaid", "checkout.session.async_payment_failed"),
    ],
)
async def test_a_delayed_method_completes_unpaid_and_settles_by_the_clock(
    standin: RunningStandin, client: stripe.StripeClient, number: str, status: str, event: str
) -> None:
    """spec: C3"""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    waiting = await standin.pay(session.id, iban=number)
    assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
    assert kinds(standin)[-1] == "checkout.session.completed"
    standin.set_clock(datetime.now(UTC) + timedelta(minutes=1))
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).payment_status == status
    assert kinds(standin)[-1] == event
    standin.finish_delayed(session.id)
    assert kinds(standin).count(event) == 1


@pytest.mark.parametrize(
    "limits",
    [
        {"allowed_payment_method_types": ["card"]},
        {"excluded_payment_method_types": ["sepa_debit", "multibanco"]},
    ],
)
async def test_delayed_methods_can_be_kept_out(
    standin: RunningStandin, client: stripe.StripeClient, limits: dict[str, Any]
) -> None:
    """Issue 2 section 4: delayed methods are off unless the page allows them."""
    session = await client.v1.checkout.sessions.create_async(params=wishes(**limits))
    assert session.payment_method_types == ["card"]
    with pytest.raises(StripeError, match="does not take"):
        await standin.pay(session.id, iban=IBAN)


async def test_nothing_to_pay_needs_no_payment(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: B3"""
    free = {
        "price_data": {"currency": "eur", "unit_amount": 0, "product_data": {"name": "Free"}},
        "quantity": 1,
    }
    session = await paid_session(standin, client, line_items=[free])
    assert (session["status"], session["payment_status"]) == ("complete", "no_payment_required")
    assert session["payment_intent"] is None


async def test_thousandths_move_in_tens(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Stripe's three-decimal currencies: the last digit is 0, of charges and of refunds (peers: pretix 783)."""

    def dinars(unit_amount: int) -> list[dict[str, Any]]:
        price = {"currency": "kwd", "unit_amount": unit_amount, "product_data": {"name": "Seat"}}
        return [{"price_data": price, "quantity": 1}]

    with pytest.raises(stripe.InvalidRequestError, match="divisible by 10"):
        await client.v1.checkout.sessions.create_async(params=wishes(line_items=dinars(5005)))
    session = await paid_session(standin, client, line_items=dinars(5000))
    part: Any = {"payment_intent": session["payment_intent"], "amount": 1234}
    with pytest.raises(stripe.InvalidRequestError, match="divisible by 10"):
        await client.v1.refunds.create_async(params=part)
    await client.v1.refunds.create_async(params={**part, "amount": 1230})


async def test_refunds_never_exceed_the_charge(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 2 section 5: partial refunds; over-refund is 400."""
    session = await paid_session(standin, client)
    part: Any = {"payment_intent": session["payment_intent"], "amount": 1000, "metadata": {"refund_id": "r1"}}
    refund = await client.v1.refunds.create_async(params=part)
    assert (refund.status, refund.amount) == ("succeeded", 1000)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded") as refused:
        await client.v1.refunds.create_async(params={**part, "amount": 2001})
    assert refused.value.http_status == 400
    await client.v1.refunds.create_async(params={"payment_intent": session["payment_intent"]})
    charge = (await client.v1.charges.list_async(params={"payment_intent": session["payment_intent"]})).data[
        0
    ]
    assert (charge.amount_refunded, charge.refunded) == (3000, True)
    with pytest.raises(stripe.InvalidRequestError) as again:
        await client.v1.refunds.create_async(params=part)
    assert again.value.code == "charge_already_refunded"
    listed = await client.v1.refunds.list_async(params={"payment_intent": session["payment_intent"]})
    assert [row.amount for row in listed.data] == [2000, 1000]
    assert kinds(standin)[-2:] == ["refund.created", "charge.refunded"]


async def test_a_refund_may_come_back(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H2"""
    session = await paid_session(standin, client)
    refund = await client.v1.refunds.create_async(params={"payment_intent": session["payment_intent"]})
    standin.fail_refund(refund.id)
    again = await client.v1.refunds.retrieve_async(refund.id)
    assert (again.status, again.failure_reason) == ("failed", "lost_or_stolen_card")
    charge = (await client.v1.charges.list_async()).data[0]
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    balance = await client.v1.balance.retrieve_async()
    assert [row.amount for row in balance.pending] == [3000 - 3000 * 15 // 1000 - 25]


async def test_the_road_of_stripes_command_line_tool(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5: requests without a version, paid over payment_pages."""
    http = standin.app.test_client()
    headers = {"Authorization": f"Bearer {standin.secret_key}"}
    older = {
        "success_url": "https://shop.test/",
        "payment_method_types[]": "card",
        "line_items[0][name]": "t-shirt",
        "line_items[0][amount]": "1500",
        "line_items[0][currency]": "usd",
        "line_items[0][quantity]": "2",
    }
    session = await (await http.post("/v1/checkout/sessions", form=older, headers=headers)).get_json()
    page = await (await http.get(f"/v1/payment_pages/{session['id']}", headers=headers)).get_json()
    card = {"type": "card", "card[token]": "tok_visa", "billing_details[email]": "a@example.com"}
    method = await (await http.post("/v1/payment_methods", form=card, headers=headers)).get_json()
    await http.post(
        f"/v1/payment_pages/{page['id']}/confirm", form={"payment_method": method["id"]}, headers=headers
    )
    assert (await client.v1.checkout.sessions.retrieve_async(session["id"])).payment_status == "paid"
