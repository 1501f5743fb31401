"""Checkout sessions as the SDK sees them: what they take, what they refuse, how they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import connected, wishes

RETURN_URL = "http://shop.test/checkout/complete?session_id={CHECKOUT_SESSION_ID}"


async def test_a_session_carries_what_it_was_made_with(client: stripe.StripeClient) -> None:
    """spec: C1"""
    session = await client.v1.checkout.sessions.create_async(params=wishes(client_reference_id="r1"))
    again = await client.v1.checkout.sessions.retrieve_async(session.id, params={"expand": ["line_items"]})
    assert (again.status, again.payment_status, again.amount_total, again.currency) == (
        "open",
        "unpaid",
        3000,
        "eur",
    )
    assert again.metadata is not None
    assert again.metadata.to_dict() == {"order_id": "o1"}
    assert again.line_items is not None
    assert [(line.description, line.quantity) for line in again.line_items.data] == [("Standing", 2)]
    assert again.url
    assert again.url.endswith(f"/c/pay/{session.id}")
    assert again.client_secret is None


@pytest.mark.parametrize("ui_mode", ["embedded_page", "elements", "form"])
async def test_on_page_modes_give_a_secret_and_take_only_a_return_url(
    client: stripe.StripeClient, ui_mode: str
) -> None:
    """spec: C1"""
    asked = wishes(ui_mode=ui_mode, return_url=RETURN_URL)
    with pytest.raises(stripe.InvalidRequestError, match="success_url"):
        await client.v1.checkout.sessions.create_async(params=asked)
    del asked["success_url"], asked["cancel_url"]
    session = await client.v1.checkout.sessions.create_async(params=asked)
    assert session.client_secret
    assert session.url is None


def _line(**more: Any) -> dict[str, Any]:
    data = {"currency": "eur", "unit_amount": 1500, "product_data": {"name": "Standing"}}
    return {"price_data": {**data, **more.pop("price_data", {})}, "quantity": 1, **more}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"ui_mode": "hosted"}, "ui_mode"),
        ({"mode": "subscription"}, "mode"),
        ({"colour": "red"}, "colour"),
        ({"payment_method_types": ["card"]}, "payment_method_types"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"success_url": "shop"}, "success_url"),
        ({"success_url": ""}, "success_url"),
        ({"return_url": RETURN_URL}, "return_url"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"line_items": []}, "line_items"),
        ({"line_items": [_line()] * 101}, "line_items"),
        ({"line_items": [_line(quantity=0)]}, "line_items[0][quantity]"),
        ({"line_items": [_line(price="price_none")]}, "line_items[0][price]"),
        ({"line_items": [_line(colour="red")]}, "line_items[0][colour]"),
        ({"line_items": [_line(), _line(price_data={"currency": "usd"})]}, "line_items"),
        ({"line_items": [_line(price_data={"unit_amount": -1})]}, "line_items[0][price_data][unit_amount]"),
        ({"line_items": [_line(price_data={"unit_amount": 10})]}, "line_items"),
        (
            {"line_items": [_line(price_data={"unit_amount": 100_000_000})]},
            "line_items[0][price_data][unit_amount]",
        ),
        ({"allowed_payment_method_types": ["twint"]}, "allowed_payment_method_types"),
        ({"metadata": {"k" * 41: "v"}}, "metadata"),
        ({"discounts": [{"coupon": "NONE"}]}, "discounts[0][coupon]"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(
    standin: RunningStandin, client: stripe.StripeClient, changes: dict[str, Any], param: str
) -> None:
    """Issue 2 section 5: 400 on an unknown or wrong parameter, and no session comes of it."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.checkout.sessions.create_async(params=wishes(**changes))
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert standin.app.standin.store.book("").all("checkout.session") == []


@pytest.mark.parametrize(
    ("ahead", "fits"), [(29, False), (31, True), (60 * 24 - 1, True), (60 * 24 + 1, False)]
)
async def test_expiry_is_held_against_the_stand_ins_clock(
    standin: RunningStandin, client: stripe.StripeClient, ahead: int, fits: bool
) -> None:
    """Issue 2 section 5: 30 minutes to 24 hours ahead."""
    now = datetime(2031, 5, 1, 12, tzinfo=UTC)
    standin.set_clock(now)
    asked = wishes(expires_at=int((now + timedelta(minutes=ahead)).timestamp()))
    if fits:
        session = await client.v1.checkout.sessions.create_async(params=asked)
        assert session.expires_at == asked["expires_at"]
    else:
        with pytest.raises(stripe.InvalidRequestError, match="expires_at"):
            await client.v1.checkout.sessions.create_async(params=asked)


async def test_a_session_expires_by_its_clock(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: B9"""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    standin.set_clock(datetime.now(UTC) + timedelta(hours=24, seconds=1))
    again = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (again.status, again.url) == ("expired", None)
    assert [event["data"]["object"]["id"] for event in standin.events("checkout.session.expired")] == [
        session.id
    ]
    with pytest.raises(Exception, match="no longer open"):
        await standin.pay(session.id)


async def test_only_an_open_session_can_be_expired(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5"""
    lapsed = await client.v1.checkout.sessions.create_async(params=wishes())
    assert (await client.v1.checkout.sessions.expire_async(lapsed.id)).status == "expired"
    paid = await client.v1.checkout.sessions.create_async(params=wishes())
    await standin.pay(paid.id)
    for closed in (lapsed.id, paid.id):
        with pytest.raises(stripe.InvalidRequestError, match="open"):
            await client.v1.checkout.sessions.expire_async(closed)


async def test_metadata_is_merged_by_an_update(client: stripe.StripeClient) -> None:
    """Issue 2 section 5"""
    session = await client.v1.checkout.sessions.create_async(params=wishes(metadata={"a": "1", "b": "2"}))
    changed = await client.v1.checkout.sessions.update_async(
        session.id, params={"metadata": {"a": "", "c": "3"}}
    )
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}


async def test_lists_are_paged_and_filtered(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: E3"""
    customer = await client.v1.customers.create_async(params={"email": "mira@example.com"})
    theirs = await client.v1.checkout.sessions.create_async(params=wishes(customer=customer.id))
    others = [(await client.v1.checkout.sessions.create_async(params=wishes())).id for _ in range(4)]
    listing: Any = {"limit": 2}
    pages = await client.v1.checkout.sessions.list_async(params=listing)
    assert [row.id async for row in pages.auto_paging_iter()] == [*reversed(others), theirs.id]
    backwards: Any = {"limit": 2, "ending_before": theirs.id}
    assert [
        row.id for row in (await client.v1.checkout.sessions.list_async(params=backwards)).data
    ] == others[1::-1]
    by_customer = await client.v1.checkout.sessions.list_async(params={"customer": customer.id})
    assert [row.id for row in by_customer.data] == [theirs.id]
    assert (
        await client.v1.checkout.sessions.list_async(params={"created": {"gt": theirs.created + 900}})
    ).data == []
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        await client.v1.checkout.sessions.list_async(params={"limit": 101})


async def test_a_coupon_is_spread_to_the_cent(client: stripe.StripeClient) -> None:
    """spec: D6"""
    coupon = await client.v1.coupons.create_async(params={"amount_off": 1000, "currency": "eur"})
    lines = [_line(price_data={"unit_amount": 999}), _line(price_data={"unit_amount": 1001}), _line()]
    session = await client.v1.checkout.sessions.create_async(
        params=wishes(line_items=lines, discounts=[{"coupon": coupon.id}])
    )
    rows = (await client.v1.checkout.sessions.line_items.list_async(session.id)).data
    assert session.amount_total == 2500
    assert sum(row.amount_discount for row in rows) == 1000
    assert all(row.amount_subtotal - row.amount_discount == row.amount_total for row in rows)


async def test_keys_and_accounts(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 2 section 5: 401 on a bad key, objects of an account are invisible to the others."""
    async with connected(standin, key="sk_test_wrong") as stranger:
        with pytest.raises(stripe.AuthenticationError):
            await stranger.v1.customers.list_async()
    connect: Any = {"stripe_account": "acct_1"}
    standin.open_account("acct_1")
    session = await client.v1.checkout.sessions.create_async(params=wishes(), options=connect)
    assert (await client.v1.checkout.sessions.retrieve_async(session.id, options=connect)).id == session.id
    with pytest.raises(stripe.InvalidRequestError) as hidden:
        await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (hidden.value.http_status, hidden.value.code) == (404, "resource_missing")
    await standin.pay(session.id)
    assert {event["account"] for event in standin.events(account="acct_1")} == {"acct_1"}
    assert standin.events() == []
