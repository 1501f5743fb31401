"""What Stripe refuses of a session, in its words: each was accepted once, and would have failed only with real keys."""

from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import wishes

RETURN_URL = "http://shop.test/checkout/complete?session_id={CHECKOUT_SESSION_ID}"
FEE = "payment_intent_data[application_fee_amount]"
PRODUCT = "line_items[0][price_data][product_data]"


def product(**more: Any) -> Any:
    """A session's line with this about its product."""
    price = {"currency": "eur", "unit_amount": 1500, "product_data": {"name": "Standing", **more}}
    return {"line_items": [{"price_data": price, "quantity": 1}]}


def intent(**more: Any) -> Any:
    """Wishes for a session's payment."""
    return {"payment_intent_data": more}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"client_reference_id": "x" * 201}, "client_reference_id", "at most 200 characters"),
    ({"custom_text": {"submit": {"message": "x" * 1201}}}, "custom_text[submit][message]", "at most 1200"),
    (intent(description="x" * 1001), "payment_intent_data[description]", "at most 1000"),
    (
        intent(statement_descriptor_suffix="x" * 23),
        "payment_intent_data[statement_descriptor_suffix]",
        "at most 22",
    ),
    (product(unit_label="x" * 13), f"{PRODUCT}[unit_label]", "at most 12"),
    (product(description="x" * 40_001), f"{PRODUCT}[description]", "at most 40000"),
    (product(images=["http://shop.test/1.png"] * 9), f"{PRODUCT}[images]", "maximum of 8"),
    ({"payment_method_collection": "always"}, "payment_method_collection", "in `payment` mode"),
    (
        {"allow_promotion_codes": True, "discounts": [{"coupon": "A"}]},
        "allow_promotion_codes",
        "only specify one",
    ),
    (
        {"allowed_payment_method_types": ["card"], "excluded_payment_method_types": ["sepa_debit"]},
        "allowed_payment_method_types",
        "only specify one",
    ),
    ({"excluded_payment_method_types": ["gold"]}, "excluded_payment_method_types[0]", "must be one of"),
    ({"allowed_payment_method_types": ["gold"]}, "allowed_payment_method_types[0]", "must be one of"),
    ({"redirect_on_completion": "always"}, "redirect_on_completion", "when `ui_mode` is `hosted_page`"),
    ({"customer_email": "nobody"}, "customer_email", "Invalid email address: nobody"),
    (intent(receipt_email="a@b"), "payment_intent_data[receipt_email]", "Invalid email address: a@b"),
    (intent(application_fee_amount=100), FEE, "Can only apply an application_fee_amount"),
    (
        intent(transfer_data={"destination": "acct_1Nobody"}),
        "payment_intent_data[transfer_data][destination]",
        "No such destination: 'acct_1Nobody'",
    ),
]


@pytest.mark.parametrize(
    ("changes", "param", "words"), REFUSED, ids=[f"{one[1]}: {one[2]}" for one in REFUSED]
)
async def test_refused_in_stripes_words(
    standin: RunningStandin, client: stripe.StripeClient, changes: dict[str, Any], param: str, words: str
) -> None:
    """400 with the parameter's name, and no session comes of it."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.checkout.sessions.create_async(params=wishes(**changes))
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert words in str(refused.value)
    assert standin.app.standin.store.book("").all("checkout.session") == []


@pytest.mark.parametrize("more", [{"customer_creation": "always"}, {"customer_email": "mira@example.com"}])
async def test_a_customer_is_said_once(client: stripe.StripeClient, more: dict[str, Any]) -> None:
    """One that is known, or what to make one of."""
    customer = await client.v1.customers.create_async(params={"email": "mira@example.com"})
    with pytest.raises(stripe.InvalidRequestError, match="only specify one of these parameters") as refused:
        await client.v1.checkout.sessions.create_async(params=wishes(customer=customer.id, **more))
    assert refused.value.param == "customer"


@pytest.mark.parametrize(
    "name",
    [
        {"branding_settings": {"display_name": "Hall"}},
        {"custom_text": {"submit": {"message": "Soon."}}},
        {"submit_type": "book"},
        {"origin_context": "web"},
        {"redirect_on_completion": "always"},
        {"success_url": "http://shop.test/"},
    ],
    ids=lambda name: next(iter(name)),
)
async def test_elements_have_no_page_of_stripes(client: stripe.StripeClient, name: dict[str, Any]) -> None:
    """What only a page of Stripe's could show is refused where the shop shows its own."""
    asked = wishes(ui_mode="elements", return_url=RETURN_URL)
    del asked["success_url"], asked["cancel_url"]
    assert (await client.v1.checkout.sessions.create_async(params=asked)).ui_mode == "elements"
    with pytest.raises(stripe.InvalidRequestError, match="when `ui_mode` is `elements`") as refused:
        await client.v1.checkout.sessions.create_async(params=asked | name)
    assert refused.value.param == next(iter(name))


async def test_a_currency_that_is_none(client: stripe.StripeClient) -> None:
    """On a line as on a price."""
    asked = wishes()
    asked["line_items"][0]["price_data"]["currency"] = "xyz"
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency: xyz") as refused:
        await client.v1.checkout.sessions.create_async(params=asked)
    assert refused.value.param == "line_items[0][price_data][currency]"


async def test_the_fee_of_a_platform(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Of another account's payment, and not more than all of it; or of one that is passed on to an account."""
    standin.open_account("acct_1Hall")
    as_hall: Any = {"stripe_account": "acct_1Hall"}
    for fee, good in ((3000, True), (3001, False)):
        asked = wishes(**intent(application_fee_amount=fee))
        if good:
            await client.v1.checkout.sessions.create_async(params=asked, options=as_hall)
            continue
        with pytest.raises(stripe.InvalidRequestError, match="application_fee_amount") as refused:
            await client.v1.checkout.sessions.create_async(params=asked, options=as_hall)
        assert refused.value.param == FEE
    passed_on = intent(application_fee_amount=100, transfer_data={"destination": "acct_1Hall"})
    assert (await client.v1.checkout.sessions.create_async(params=wishes(**passed_on))).status == "open"


async def test_only_a_form_of_our_own_changes_its_payment(client: stripe.StripeClient) -> None:
    """A session of a page of Stripe's keeps what was asked for at first; its metadata may change."""
    change: Any = {"payment_intent_data": {"description": "Order 7"}}
    hosted = await client.v1.checkout.sessions.create_async(params=wishes())
    with pytest.raises(stripe.InvalidRequestError, match="payment_intent_data"):
        await client.v1.checkout.sessions.update_async(hosted.id, params=change)
    assert (
        await client.v1.checkout.sessions.update_async(hosted.id, params={"metadata": {"a": "b"}})
    ).metadata
    asked = wishes(ui_mode="elements", return_url=RETURN_URL)
    del asked["success_url"], asked["cancel_url"]
    ours = await client.v1.checkout.sessions.create_async(params=asked)
    assert (await client.v1.checkout.sessions.update_async(ours.id, params=change)).status == "open"
