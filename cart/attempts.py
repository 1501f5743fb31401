"""Checkout attempts: the request to Stripe is stored complete before it is sent, so that a crash can be replayed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import CheckoutAttempt, Order, OrderLine, StripeCustomer
from shared.contracts.dtos import PageDTO
from shared.contracts.facts import CheckoutRequest, SessionFacts
from shared.contracts.payment_errors import PaymentsUnavailable
from shared.contracts.protocols import Payments
from shared.contracts.states import OrderState
from shared.database import Sessions, new_row, write_at_commit
from shared.ids import new_id
from shared.installation import installation_id, mark
from shared.payment_methods import excluded_methods

ACTIVE = ("creating", "open")
# Stripe wants expires_at at least 30 minutes ahead when it receives the call; one minute for the way there.
SHORTEST_SESSION = timedelta(minutes=31)
# … and at most 24 hours. A hold that goes on after that gets a new session when the buyer comes back.
LONGEST_SESSION = timedelta(hours=23, minutes=59)
# Stripe keeps an idempotency key at least that long, and replays even a 5xx under it.
KEY_LIFE = timedelta(hours=24)
# After that a call is no longer on its way, and a look at the list is the truth.
UNANSWERED = timedelta(minutes=2)
CLOCK_SKEW = timedelta(minutes=5)  # between Stripe's clock and ours
DISPLAY_NAME = 100  # characters; longer names say nothing more on a phone
# No time of day: the hold can be extended, and what a session says can't be changed any more.
HELD = "Your tickets are held for you while you pay, for as long as your order’s page says. You can go back to it."
METADATA_VALUE = 500  # Stripe: characters of one metadata value


async def add_attempt(
    session: AsyncSession,
    order: Order,
    lines: Sequence[OrderLine],
    *,
    pages: Mapping[UUID, PageDTO],
    customer: str | None,
    livemode: bool,
    public_url: str,
    starts_at: datetime | None,
    now: datetime,
) -> CheckoutAttempt:
    """Store, at commit, the complete request for one Checkout session of this order, state `creating`.

    `starts_at` is the nearest of its events, UTC: a debit must be sure before it.
    """
    attempt_id = new_id()
    sellers = [pages[page_id] for page_id in dict.fromkeys(line.page_id for line in lines)]
    assert order.reserved_until is not None
    held_at_most_until = order.reserved_until + timedelta(minutes=order.hold_minutes)
    expires_at = min(max(held_at_most_until, now + SHORTEST_SESSION), now + LONGEST_SESSION)
    attempt = CheckoutAttempt(
        id=attempt_id,
        order_id=order.id,
        stripe_account=order.stripe_account,
        state="creating",
        idempotency_key=f"checkout-{attempt_id}",
        livemode=livemode,
        expires_at=expires_at,
        created_at=now,
        request=build_params(
            order,
            lines,
            attempt_id=attempt_id,
            installation=await installation_id(session),
            expires_at=expires_at,
            pages=sellers,
            customer=customer,
            public_url=public_url,
            excluded=excluded_methods(
                debits=all(page.delayed_methods for page in sellers), starts_at=starts_at, now=now
            ),
        ),
    )
    await write_at_commit(session, new_row(attempt))
    return attempt


async def customer_of(session: AsyncSession, order: Order, *, livemode: bool) -> str | None:
    """The buyer's Stripe customer on the order's account, if there is one yet (spec: E5)."""
    known = await session.get(StripeCustomer, (order.user_id, order.stripe_account, livemode))
    return known.customer_id if known else None


def build_params(
    order: Order,
    lines: Sequence[OrderLine],
    *,
    attempt_id: UUID,
    installation: UUID,
    expires_at: datetime,
    pages: Sequence[PageDTO],
    customer: str | None,
    public_url: str,
    excluded: list[str],
) -> dict[str, Any]:
    """Stripe's parameters for one session: hosted page, price and quantity lines, our metadata on both objects."""
    metadata = {
        **mark(installation),
        "order_id": str(order.id),
        "order_number": order.number,
        "attempt_id": str(attempt_id),
        "page_id": str(order.page_id or lines[0].page_id),
        **_product_ids(lines),
    }
    params: dict[str, Any] = {
        "mode": "payment",
        "ui_mode": "hosted_page",
        "client_reference_id": order.number,
        # the payment page says who sells
        "branding_settings": {"display_name": " and ".join(page.name for page in pages)[:DISPLAY_NAME]},
        "line_items": [_line_item(line, order.currency) for line in lines],
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": f"Order {order.number}"},
        "expires_at": int(expires_at.timestamp()),
        # the session outlives the hold; the page itself would tell the buyer of its own end only
        "custom_text": {"submit": {"message": HELD}},
        # order: lets the return page find the account of a session whose id was never stored
        "success_url": f"{public_url}/checkout/complete?session_id={{CHECKOUT_SESSION_ID}}&order={order.id}",
        "cancel_url": f"{public_url}/orders/{order.id}",
        "excluded_payment_method_types": excluded,
    }
    if customer:
        params["customer"] = customer
    return params


def _line_item(line: OrderLine, currency: str) -> dict[str, Any]:
    return {
        "quantity": line.quantity,
        "price_data": {
            "currency": currency.lower(),
            "unit_amount": line.unit_amount,
            "product_data": {
                "name": f"{line.name} · {line.detail}"[:250],
                "metadata": {"kind": line.kind, "ref_id": str(line.ref_id)},
            },
        },
    }


def _product_ids(lines: Sequence[OrderLine]) -> dict[str, str]:
    """What was bought, in as many metadata values as their length allows."""
    per_value = METADATA_VALUE // (len(str(lines[0].ref_id)) + 1)
    ids = list(dict.fromkeys(str(line.ref_id) for line in lines))
    parts = [ids[start : start + per_value] for start in range(0, len(ids), per_value)]
    return {
        "product_ids" if number == 0 else f"product_ids_{number + 1}": ",".join(part)
        for number, part in enumerate(parts)
    }


def request_of(attempt: CheckoutAttempt, order: Order, params: dict[str, Any]) -> CheckoutRequest:
    """The stored request, ready to be sent or replayed."""
    return CheckoutRequest(
        order_id=attempt.order_id,
        attempt_id=attempt.id,
        page_id=order.page_id,
        stripe_account=attempt.stripe_account,
        idempotency_key=attempt.idempotency_key,
        params=params,
    )


async def active_attempt(session: AsyncSession, order_id: UUID) -> CheckoutAttempt | None:
    """The one attempt of an order that may still be paid."""
    return await session.scalar(
        select(CheckoutAttempt)
        .where(CheckoutAttempt.order_id == order_id, CheckoutAttempt.state.in_(ACTIVE))
        .execution_options(populate_existing=True)
    )


async def order_with_attempt(
    session: AsyncSession, order_id: UUID
) -> tuple[Order, CheckoutAttempt | None] | None:
    """An order and the one attempt of it that may still be paid; None where there is no such order."""
    row = (
        await session.execute(
            select(Order, CheckoutAttempt)
            .outerjoin(
                CheckoutAttempt,
                and_(CheckoutAttempt.order_id == Order.id, CheckoutAttempt.state.in_(ACTIVE)),
            )
            .where(Order.id == order_id)
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def attempt_of_session(session: AsyncSession, session_id: str) -> tuple[CheckoutAttempt, Order] | None:
    """The attempt with this Checkout session id, and its order."""
    found = (
        select(CheckoutAttempt, Order)
        .join(Order, Order.id == CheckoutAttempt.order_id)
        .where(CheckoutAttempt.session_id == session_id)
    )
    row = (await session.execute(found.limit(1))).first()
    return (row[0], row[1]) if row else None


async def send(
    sessions: Sessions, payments: Payments, order: Order, attempt: CheckoutAttempt
) -> SessionFacts:
    """Send, or replay, an attempt's stored request; the buyer's customer is made first if there is none yet."""
    request = attempt.request
    if "customer" not in request:
        async with sessions.reading() as session:
            installation = await installation_id(session)
            gone = await _last_customer(session, attempt, order)
        customer_id = await payments.customer_for(
            user_id=order.user_id,
            email=order.email,
            stripe_account=order.stripe_account,
            installation_id=installation,
            replaces=gone,
        )
        async with sessions.single() as session:
            request = await _complete_request(session, attempt, order, customer_id=customer_id)
    return await payments.create_checkout_session(request_of(attempt, order, request))


async def obtain(
    sessions: Sessions, payments: Payments, order: Order, attempt: CheckoutAttempt, *, now: datetime
) -> SessionFacts | None:
    """The session of an attempt: made now, or found again; None where there is none and this request will make none.

    Raises PaymentsUnavailable while that is unknown, PaymentsRefused where Stripe refuses the request for good.
    """
    age = now - attempt.created_at
    if age <= KEY_LIFE:
        try:
            return await send(sessions, payments, order, attempt)
        except PaymentsUnavailable:
            if age < UNANSWERED:
                raise
    async with sessions.reading() as session:
        stored = await session.get_one(CheckoutAttempt, attempt.id)
    if "customer" not in stored.request:
        return None  # it was never sent
    return await payments.find_session(
        request_of(stored, order, stored.request), created_after=stored.created_at - CLOCK_SKEW
    )


async def _last_customer(session: AsyncSession, attempt: CheckoutAttempt, order: Order) -> str | None:
    """The customer of this user's last attempt. Where none is kept any more, that one was deleted at Stripe."""
    return await session.scalar(
        select(CheckoutAttempt.request["customer"].astext)
        .join(Order, Order.id == CheckoutAttempt.order_id)
        .where(
            Order.user_id == order.user_id,
            CheckoutAttempt.stripe_account == attempt.stripe_account,
            CheckoutAttempt.livemode == attempt.livemode,
            CheckoutAttempt.request.has_key("customer"),
        )
        .order_by(CheckoutAttempt.id.desc())
        .limit(1)
    )


async def forget_customer(session: AsyncSession, attempt: CheckoutAttempt, order: Order) -> None:
    """Keep an attempt's customer no longer: it was deleted at Stripe, and every checkout with it is refused."""
    await session.execute(
        delete(StripeCustomer).where(
            StripeCustomer.user_id == order.user_id,
            StripeCustomer.stripe_account == attempt.stripe_account,
            StripeCustomer.livemode == attempt.livemode,
            StripeCustomer.customer_id == attempt.request["customer"],
        )
    )


async def _complete_request(
    session: AsyncSession, attempt: CheckoutAttempt, order: Order, *, customer_id: str
) -> dict[str, Any]:
    """Keep the user's customer id (spec: E5) and put it into the stored request, before that is first sent."""
    kept = (
        insert(StripeCustomer)
        .values(
            user_id=order.user_id,
            stripe_account=order.stripe_account,
            livemode=attempt.livemode,
            customer_id=customer_id,
        )
        .on_conflict_do_nothing()
    )
    completed: dict[str, Any] | None = await session.scalar(
        update(CheckoutAttempt)
        .where(CheckoutAttempt.id == attempt.id, ~CheckoutAttempt.request.has_key("customer"))
        .values(request=CheckoutAttempt.request.concat({"customer": customer_id}))
        .returning(CheckoutAttempt.request)
        .add_cte(kept.cte("kept"))
        .execution_options(synchronize_session=False)
    )
    if completed is not None:
        return completed
    # another process was faster, and what it stored is what is sent
    stored = select(CheckoutAttempt.request).where(CheckoutAttempt.id == attempt.id)
    request: dict[str, Any] = (await session.scalars(stored)).one()
    return request


async def store_session(session: AsyncSession, attempt_id: UUID, facts: SessionFacts) -> bool:
    """`creating` → `open` with the session's id, while the order is still pending; False if there is nothing to open.

    True too where another process has stored this very session before us.
    """
    stored = await session.execute(
        update(CheckoutAttempt)
        .where(
            CheckoutAttempt.id == attempt_id,
            CheckoutAttempt.state == "creating",
            CheckoutAttempt.order_id == Order.id,
            Order.state == OrderState.PENDING,
        )
        .values(state="open", session_id=facts.id, url=facts.url, client_secret=facts.client_secret)
        .returning(CheckoutAttempt.id)
        .execution_options(synchronize_session=False)
    )
    if stored.scalar_one_or_none() is not None:
        return True
    known = await session.get(CheckoutAttempt, attempt_id, populate_existing=True)
    return known is not None and known.session_id == facts.id and known.state in ("open", "complete")


async def end_attempt(session: AsyncSession, attempt_id: UUID, state: str) -> None:
    """An active attempt becomes `complete`, `expired` or `failed`."""
    await session.execute(
        update(CheckoutAttempt)
        .where(CheckoutAttempt.id == attempt_id, CheckoutAttempt.state.in_(ACTIVE))
        .values(state=state)
    )
