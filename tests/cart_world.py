"""A page that sells, buyers and a till with Stripe in memory, for tests of the cart's processes on real tables."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from cart import checkout, release, settle
from cart.checkout import Handover
from cart.models import CheckoutAttempt, LedgerTransfer, Order, Payment, Refund
from cart.quote import fingerprint
from cart.service import SqlCartService
from cart.settle import Settled
from cart.till import Till
from events.cancelling import cancel_entry
from events.models import PageMember, Pool, TicketType
from events.service import SqlCalendarService
from shared.clock import ManualClock
from shared.contracts.facts import SessionFacts
from shared.contracts.states import OrderState, PageRole
from shared.contracts.stub_payments import StubPayments
from shared.database import Sessions
from shared.models import OutgoingMail
from shared.services import Services
from tests import event_rows


@dataclass
class World:
    """One page with entries as tests add them; `till` is what the processes take."""

    sessions: Sessions
    clock: ManualClock
    payments: StubPayments = field(default_factory=StubPayments)

    def __post_init__(self) -> None:
        self.calendar = SqlCalendarService()
        self.till = Till(self.calendar, self.payments, "http://shop.test")
        self.cart = SqlCartService(Services(calendar=self.calendar), self.till.public_url)

    async def sell(self, slug: str = "concert", *, page: str = "hall", **values: object) -> UUID:
        """A ticket type on sale; `capacity`, `cost`, and for its page `currency`, `hold_minutes`, …; returns its id."""
        of_page = {
            name: values.pop(name)
            for name in (
                "currency",
                "time_zone",
                "hold_minutes",
                "delayed_methods",
                "stripe_account",
                "refund_hours",
            )
            if name in values
        }
        async with self.sessions.begin() as session:
            made = await event_rows.add_page(session, page, **of_page)
            entry = await event_rows.add_entry(
                session, made, slug, starts_at=self.clock.now() + timedelta(days=7)
            )
            ticket_type = await event_rows.add_type(session, entry, **values)  # type: ignore[arg-type]
            return ticket_type.id

    async def employ(self, type_id: UUID, user_id: UUID, role: PageRole = PageRole.OWNER) -> None:
        """Give somebody a role on the page that sells this type."""
        async with self.sessions.begin() as session:
            page_id = (await session.get_one(TicketType, type_id)).page_id
            session.add(PageMember(page_id=page_id, user_id=user_id, role=role))

    async def cancel(self, type_id: UUID) -> None:
        """The event of this type does not take place."""
        async with self.sessions.begin() as session:
            entry_id = (await session.get_one(TicketType, type_id)).entry_id
            await cancel_entry(session, entry_id=entry_id, actor="operator", now=self.clock.now())

    async def buyer(self) -> UUID:
        """Somebody who has signed in."""
        async with self.sessions.begin() as session:
            return await event_rows.add_user(session)

    async def put(self, user_id: UUID, type_id: UUID, quantity: int) -> None:
        """So many tickets into the cart."""
        async with self.sessions.begin() as session:
            await self.calendar.set_pending_quantity(
                session, user_id=user_id, ticket_type_id=type_id, quantity=quantity, now=self.clock.now()
            )

    async def seen(self, user_id: UUID) -> str:
        """The fingerprint that the cart page would carry now."""
        async with self.sessions() as session:
            summary = await self.cart.cart_summary(session, user_id=user_id)
        return fingerprint(summary.lines)

    async def start(
        self, user_id: UUID, *, seen: str | None = None, page_id: UUID | None = None
    ) -> list[UUID]:
        """Check the cart out."""
        return await checkout.start(
            self.sessions,
            self.till,
            user_id=user_id,
            seen=seen if seen is not None else await self.seen(user_id),
            page_id=page_id,
            now=self.clock.now(),
        )

    async def hand_over(self, user_id: UUID, order_id: UUID) -> Handover:
        """Go to Stripe's page."""
        return await checkout.hand_over(
            self.sessions, self.till, order_id=order_id, user_id=user_id, now=self.clock.now()
        )

    async def bought(self, type_id: UUID, quantity: int = 1) -> tuple[UUID, UUID, str]:
        """A new buyer on Stripe's page with so many tickets; user, order and session ids."""
        user_id = await self.buyer()
        await self.put(user_id, type_id, quantity)
        (order_id,) = await self.start(user_id)
        handover = await self.hand_over(user_id, order_id)
        assert handover.session_id is not None
        return user_id, order_id, handover.session_id

    async def paid(self, type_id: UUID, quantity: int = 1) -> tuple[UUID, UUID, str]:
        """The same, paid and settled."""
        user_id, order_id, session_id = await self.bought(type_id, quantity)
        await self.settle(self.payments.pay(session_id))
        return user_id, order_id, session_id

    async def lapsed(self, type_id: UUID) -> tuple[UUID, UUID, str]:
        """A buyer whose hold was given back, while the payment page can still be paid; the same ids."""
        user_id, order_id, session_id = await self.bought(type_id)
        self.clock.advance(minutes=31)
        await self.release(order_id)
        self.payments.known[session_id] = replace(self.payments.known[session_id], status="open")
        return user_id, order_id, session_id

    async def pay(self, user_id: UUID, order_id: UUID) -> str:
        """Pay an order that was placed, and settle it; the session's id."""
        session_id = (await self.hand_over(user_id, order_id)).session_id
        assert session_id is not None
        await self.settle(self.payments.pay(session_id))
        return session_id

    async def settle(self, facts: SessionFacts, *, failed: bool = False) -> Settled:
        """What webhook and return page do."""
        async with self.sessions.begin() as session:
            return await settle.settle(session, self.till, facts, now=self.clock.now(), failed=failed)

    async def release(self, order_id: UUID, *, to: OrderState = OrderState.EXPIRED) -> OrderState:
        """What the sweep and "give the tickets back" do."""
        return await release.release(self.sessions, self.till, order_id=order_id, now=self.clock.now(), to=to)

    def payments_order(self, session_id: str) -> UUID:
        """The order that a session belongs to."""
        return UUID(self.payments.known[session_id].metadata["order_id"])

    async def order(self, order_id: UUID) -> Order:
        """The order as it stands."""
        async with self.sessions() as session:
            return await session.get_one(Order, order_id)

    async def states(self, order_id: UUID) -> list[str]:
        """States of the tickets that belong to an order, sorted."""
        async with self.sessions() as session:
            return sorted(
                ticket.state for ticket in await self.calendar.get_tickets_for_order(session, order_id)
            )

    async def in_cart(self, user_id: UUID) -> int:
        """How many tickets are in the cart."""
        async with self.sessions() as session:
            return await self.calendar.pending_count(session, user_id=user_id)

    async def allocated(self, type_id: UUID) -> int:
        """The type's pool; checks that it agrees with the tickets."""
        async with self.sessions() as session:
            assert await event_rows.pools_agree(session)
            ticket_type = await session.get_one(TicketType, type_id)
            return (await session.get_one(Pool, ticket_type.pool_id)).allocated

    async def attempt_states(self, order_id: UUID) -> list[str]:
        """States of an order's attempts, oldest first."""
        async with self.sessions() as session:
            return list(
                await session.scalars(
                    select(CheckoutAttempt.state)
                    .where(CheckoutAttempt.order_id == order_id)
                    .order_by(CheckoutAttempt.id)
                )
            )

    async def refunds(self) -> list[Refund]:
        """All refunds."""
        async with self.sessions() as session:
            return list(await session.scalars(select(Refund).order_by(Refund.id)))

    async def count(self, table: type[Order | Payment | LedgerTransfer | OutgoingMail]) -> int:
        """Rows of a table."""
        async with self.sessions() as session:
            return await session.scalar(select(func.count()).select_from(table)) or 0
