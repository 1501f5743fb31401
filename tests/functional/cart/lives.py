"""Lives of orders for the property test: what buyers, organizers and banks do, and the news of it that Stripe sends.

A life is lived step by step. What happens at Stripe leaves its news in the post; who carries the post, in which order,
how often and whether at all, is the test's to choose.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from cart import cancelled_entries
from cart.books import keeping
from cart.models import LedgerTransfer, Order, Payment, Refund, RefundLine, WebhookEvent
from cart.records import Dispute
from cart.refunds import sending
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from cart.webhooks import inbox
from events.cancelling import cancel_entry
from events.models import TicketType
from shared.contracts.facts import DisputeFacts, EventFacts, PayoutFacts, RefundFacts, SessionFacts
from shared.contracts.states import OrderState
from shared.ids import new_id
from tests.cart_world import World

PRICE, QUANTITY = 1500, 2


class Paying(StrEnum):
    """How a buyer pays, or not."""

    NOT = "not"
    GIVES_BACK = "gives_back"
    CARD = "card"
    DELAYED = "delayed"
    DELAYED_FAILS = "delayed_fails"
    LATE = "late"


class After(StrEnum):
    """What becomes of a paid order."""

    NOTHING = "nothing"
    LINE = "line"
    """The organizer refunds one ticket."""
    LINE_THEN_BY_HAND = "line_then_by_hand"
    CANCELLED = "cancelled"
    """The event is."""
    PART_BY_HAND = "part_by_hand"
    ALL_BY_HAND = "all_by_hand"
    PARTS_BY_HAND = "parts_by_hand"
    INQUIRY = "inquiry"
    DISPUTED = "disputed"
    WON = "won"
    LOST = "lost"
    LINE_WHILE_WON = "line_while_won"
    """One ticket is refunded while the bank holds the money."""
    LINE_WHILE_LOST = "line_while_lost"


@dataclass(frozen=True, slots=True)
class Life:
    """One order from the cart to its end."""

    paying: Paying
    twice: bool
    after: After

    @property
    def is_paid(self) -> bool:
        """Whether its money arrives."""
        return self.paying in (Paying.CARD, Paying.DELAYED, Paying.LATE)


@dataclass
class Lived:
    """A life under way in a world; `steps` are still to come."""

    world: World
    life: Life
    name: str
    post: list[EventFacts] = field(default_factory=list)
    steps: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    kind: UUID = field(default_factory=new_id)
    user_id: UUID = field(default_factory=new_id)
    order_id: UUID = field(default_factory=new_id)
    session_id: str = ""

    def __post_init__(self) -> None:
        self.steps = [self.buy, *self._paying()]
        if self.life.is_paid:
            self.steps += [self.pay_again] if self.life.twice else []
            self.steps += self._after()

    def _paying(self) -> list[Callable[[], Awaitable[None]]]:
        return {
            Paying.NOT: [],
            Paying.GIVES_BACK: [self.give_back],
            Paying.CARD: [self.pay],
            Paying.DELAYED: [self.pay_delayed, self.arrive],
            Paying.DELAYED_FAILS: [self.pay_delayed, self.bounce],
            Paying.LATE: [self.lapse, self.pay],
        }[self.life.paying]

    def _after(self) -> list[Callable[[], Awaitable[None]]]:
        return {
            After.NOTHING: [],
            After.LINE: [self.refund_line],
            After.LINE_THEN_BY_HAND: [self.refund_line, self.refund_part],
            After.CANCELLED: [self.cancel_event],
            After.PART_BY_HAND: [self.refund_part],
            After.ALL_BY_HAND: [self.refund_rest],
            After.PARTS_BY_HAND: [self.refund_part, self.refund_rest],
            After.INQUIRY: [self.ask, self.win],
            After.DISPUTED: [self.dispute],
            After.WON: [self.dispute, self.win],
            After.LOST: [self.dispute, self.lose],
            After.LINE_WHILE_WON: [self.dispute, self.refund_line, self.win],
            After.LINE_WHILE_LOST: [self.dispute, self.refund_line, self.lose],
        }[self.life.after]

    def news(
        self,
        kind: str,
        *,
        session: SessionFacts | None = None,
        about: RefundFacts | DisputeFacts | None = None,
    ) -> None:
        """Stripe writes to us."""
        self.post.append(letter(self.world, kind, session=session, about=about))

    async def buy(self) -> None:
        """To Stripe's page, with two tickets of an event of its own."""
        self.kind = await self.world.sell(self.name, page=self.name, cost=PRICE, delayed_methods=True)
        self.user_id, self.order_id, self.session_id = await self.world.bought(self.kind, QUANTITY)

    async def give_back(self) -> None:
        """The buyer ends the checkout."""
        await self.world.release(self.order_id, to=OrderState.CANCELLED)
        self.news("checkout.session.expired", session=self.world.payments.known[self.session_id])

    async def lapse(self) -> None:
        """The hold of this order ends; by some mistake of Stripe's its page can still be paid."""
        over = update(Order).where(Order.id == self.order_id).values(reserved_until=self.world.clock.now())
        async with self.world.sessions.begin() as session:
            await session.execute(over)
        await self.world.release(self.order_id)
        known = self.world.payments.known
        self.news("checkout.session.expired", session=known[self.session_id])
        known[self.session_id] = replace(known[self.session_id], status="open")

    async def pay(self) -> None:
        """By card."""
        self.news("checkout.session.completed", session=self.world.payments.pay(self.session_id))

    async def pay_delayed(self) -> None:
        """By bank debit: complete, money on its way."""
        facts = self.world.payments.pay(self.session_id, paid=False)
        self.news("checkout.session.completed", session=facts)

    async def arrive(self) -> None:
        """The debit's money."""
        facts = self.world.payments.arrive(self.session_id)
        self.news("checkout.session.async_payment_succeeded", session=facts)

    async def bounce(self) -> None:
        """The debit has failed."""
        facts = self.world.payments.bounce(self.session_id)
        self.news("checkout.session.async_payment_failed", session=facts)
        self.news("payment_intent.payment_failed", session=facts)

    async def pay_again(self) -> None:
        """A second payment of the same."""
        await self.come_back()
        self.news("checkout.session.completed", session=self.world.payments.pay_again(self.session_id))

    async def come_back(self) -> None:
        """The return page settles what the buyer brings; what people do next needs a paid order."""
        await self.world.settle(self.world.payments.known[self.session_id])

    async def refund_line(self) -> None:
        """One ticket, by the organizer; sent at once."""
        await self.come_back()
        async with self.world.sessions.begin() as session:
            ticket = (await self.world.calendar.get_tickets_for_order(session, self.order_id))[0]
            await refund_items(
                session,
                self.world.till,
                order_id=self.order_id,
                item_ids=[ticket.id],
                page_id=None,
                actor="operator",
                reason=RefundReason.ORGANIZER,
                now=self.world.clock.now(),
            )
        await self._send()

    async def cancel_event(self) -> None:
        """The organizer cancels it; what was paid goes back at once."""
        await self.come_back()
        async with self.world.sessions.begin() as session:
            entry_id = (await session.get_one(TicketType, self.kind)).entry_id
            await cancel_entry(session, entry_id=entry_id, actor="operator", now=self.world.clock.now())
        await cancelled_entries.unwind(self.world.sessions, self.world.till, now=self.world.clock.now())
        await self._send()

    async def _send(self) -> None:
        before = len(self.world.payments.made_refunds)
        await sending.send_due(self.world.sessions, self.world.till, now=self.world.clock.now())
        for made in self.world.payments.made_refunds[before:]:
            self.news("refund.created", about=made)

    async def refund_part(self) -> None:
        """In Stripe's dashboard."""
        self._by_hand(700)

    async def refund_rest(self) -> None:
        """The same, all that is left."""
        made = self.world.payments.made_refunds
        intent = self.world.payments.known[self.session_id].payment_intent
        self._by_hand(PRICE * QUANTITY - sum(one.amount for one in made if one.payment_intent == intent))

    def _by_hand(self, amount: int) -> None:
        later(self.world, seconds=1)  # of two in one second either may be the one that names the tickets
        made = self.world.payments.refund_by_hand(self.session_id, amount)
        self.news("charge.refunded", about=made)
        self.news("refund.created", about=made)

    async def ask(self) -> None:
        """The bank inquires and takes nothing."""
        self.news("charge.dispute.created", about=self.world.payments.dispute(self.session_id, inquiry=True))

    async def dispute(self) -> None:
        """The bank takes the money."""
        await self.come_back()
        made = self.world.payments.dispute(self.session_id)
        self.news("charge.dispute.created", about=made)
        self.news("charge.dispute.funds_withdrawn", about=made)

    async def win(self) -> None:
        """The bank gives it back."""
        self._close(won=True)

    async def lose(self) -> None:
        """The bank gives it to the buyer."""
        self._close(won=False)

    def _close(self, *, won: bool) -> None:
        bank = self.world.payments
        intent = bank.known[self.session_id].payment_intent
        dispute_id = next(one.id for one in bank.open_disputes.values() if one.payment_intent == intent)
        closed = bank.close_dispute(dispute_id, won=won)
        self.news("charge.dispute.closed", about=closed)
        if won:
            self.news("charge.dispute.funds_reinstated", about=closed)


def letter(
    world: World,
    kind: str,
    *,
    session: SessionFacts | None = None,
    about: RefundFacts | DisputeFacts | PayoutFacts | None = None,
) -> EventFacts:
    """An event as Stripe sends it."""
    subject = session or about
    assert subject is not None
    return EventFacts(
        id=f"evt_{new_id().hex}",
        type=kind,
        stripe_account="",
        livemode=False,
        session=session,
        subject_id=subject.id,
        payment_intent=None if isinstance(subject, PayoutFacts) else subject.payment_intent,
    )


def pay_out(world: World) -> list[EventFacts]:
    """All that is on the balance goes to the bank, if there is anything; and Stripe writes to us."""
    if sum(one.net for one in world.payments.booked) <= 0:
        return []
    return [letter(world, "payout.paid", about=world.payments.pay_out("EUR"))]


def later(world: World, **time: float) -> None:
    """Our clock and Stripe's go on together."""
    world.clock.advance(**time)
    world.payments.now = world.clock.now()


async def deliver(world: World, event: EventFacts) -> None:
    """What the webhook does with an event whose signature was good."""
    row = {"id": event.id, "stripe_account": "", "type": event.type, "livemode": False, "body": b"{}"}
    async with world.sessions.begin() as session:
        stored = insert(WebhookEvent).values(**row, received_at=world.clock.now())
        await session.execute(stored.on_conflict_do_nothing())
    await inbox.process(world.sessions, world.till, event, now=world.clock.now())


async def work(world: World) -> None:
    """What the worker does about money."""
    now = world.clock.now()
    await sending.send_due(world.sessions, world.till, now=now)
    await keeping.post_new(world.sessions, world.till, now=now)


async def end_of(lived: Lived) -> dict[str, object]:
    """How a life has ended, in nothing that depends on chance or on the order of things."""
    world = lived.world
    async with world.sessions() as session:
        tickets = await world.calendar.get_tickets_for_order(session, lived.order_id)
        payments = list(
            await session.scalars(
                select(Payment).where(Payment.order_id == lived.order_id).order_by(Payment.id)
            )
        )
        owed = list(await session.scalars(select(Refund).where(Refund.order_id == lived.order_id)))
        lines = await session.execute(
            select(RefundLine.amount, RefundLine.item_ids).where(
                RefundLine.refund_id.in_([one.id for one in owed])
            )
        )
        disputes = await session.scalars(select(Dispute).where(Dispute.order_id == lived.order_id))
        ledger: Counter[str] = Counter()
        for row in await session.scalars(
            select(LedgerTransfer).where(LedgerTransfer.order_id == lived.order_id)
        ):
            ledger[row.debit] += row.amount
            ledger[row.credit] -= row.amount
        again = {one.id: one.payment_intent.endswith("_again") for one in payments}
        return {
            "order": (await world.order(lived.order_id)).state,
            "tickets": sorted((ticket.state, ticket.blocked) for ticket in tickets),
            "in cart": await world.in_cart(lived.user_id),
            "stock": await world.allocated(lived.kind),
            "payments": sorted((again[one.id], one.amount) for one in payments),
            "refunds": sorted(
                (again[one.payment_id], one.amount, one.state, one.reason, one.unallocated) for one in owed
            ),
            "lines": sorted((amount, len(items)) for amount, items in lines),
            "disputes": sorted((one.status, one.withdrawn, one.closed_at is None) for one in disputes),
            "ledger": {name: amount for name, amount in sorted(ledger.items()) if amount},
        }
