"""In-memory services with real behaviour, for a blueprint on its own: tests, and `serve --only cart`.

They keep to the same contract suite as the SQL services. They do not take part in the transaction: a caller
that rolls back keeps what the stub did.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import PageDTO, SoldOutLine, StockDifferenceDTO, TicketDTO, counts_by_type
from shared.contracts.protocols import Confirmation, SoldOut
from shared.contracts.sale_rules import Mine, runs_short
from shared.contracts.states import STOCK_STATES, EntryState, TicketState
from shared.contracts.stub_entries import StubEntry, StubType, stub_ticket
from shared.contracts.stub_pages import StubPages
from shared.errors import Conflict, Invalid, NotFound
from shared.ids import new_door_code, new_id

MAX_PENDING = 50


@dataclass
class StubCalendarService(StubPages):
    """Implements `CalendarService` in memory. Fill it with `add_page`, `add_entry` and `add_type`."""

    types: dict[UUID, StubType] = field(default_factory=dict)
    tickets: dict[UUID, TicketDTO] = field(default_factory=dict)

    def add_entry(
        self,
        page: PageDTO,
        title: str = "Stub Event",
        *,
        starts_at: datetime,
        capacity: int | None = None,
        state: EntryState = EntryState.CONFIRMED,
        max_per_user: int | None = None,
    ) -> StubEntry:
        """An event of three hours."""
        slug = title.lower().replace(" ", "-")
        ends_at = starts_at + timedelta(hours=3)
        return StubEntry(new_id(), page, title, slug, starts_at, ends_at, capacity, state, max_per_user)

    def add_type(self, entry: StubEntry, name: str = "Standard", **terms: Any) -> StubType:
        """A ticket type; `terms` as StubType has them, `cost` in major units, None = not for sale."""
        made = StubType(new_id(), entry, name, position=len(self.types), **terms)
        self.types[made.id] = made
        return made

    def allocated(self, ticket_type: StubType) -> int:
        """Tickets of this type that hold stock."""
        return self._taken(lambda ticket: ticket.ticket_type_id == ticket_type.id)

    async def pending_tickets(self, _session: AsyncSession, *, user_id: UUID) -> list[TicketDTO]:
        """See CalendarService."""
        return self._find(lambda t: t.user_id == user_id and t.state is TicketState.PENDING)

    async def pending_count(self, session: AsyncSession, *, user_id: UUID) -> int:
        """See CalendarService."""
        return len(await self.pending_tickets(session, user_id=user_id))

    async def set_pending_quantity(
        self, session: AsyncSession, *, user_id: UUID, ticket_type_id: UUID, quantity: int, now: datetime
    ) -> int:
        """See CalendarService."""
        if ticket_type_id not in self.types:
            raise NotFound
        kind = self.types[ticket_type_id]
        pending = await self.pending_tickets(session, user_id=user_id)
        mine = sorted((t for t in pending if t.ticket_type_id == kind.id), key=lambda t: t.id)
        self._check(kind, user_id, len(mine), len(pending), quantity, now)
        for _ in range(quantity - len(mine)):
            ticket = stub_ticket(kind, user_id)
            self.tickets[ticket.id] = ticket
        for ticket in mine[quantity:]:
            self._set(ticket, state=TicketState.REMOVED)
        return len(mine)

    async def add_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, chosen: Mapping[UUID, int], now: datetime
    ) -> list[UUID]:
        """See CalendarService."""
        before = {ticket.id for ticket in await self.pending_tickets(session, user_id=user_id)}
        for type_id, number in chosen.items():
            mine = [
                t for t in await self.pending_tickets(session, user_id=user_id) if t.ticket_type_id == type_id
            ]
            await self.set_pending_quantity(
                session, user_id=user_id, ticket_type_id=type_id, quantity=len(mine) + number, now=now
            )
        return [t.id for t in await self.pending_tickets(session, user_id=user_id) if t.id not in before]

    async def remove_pending_tickets(
        self, session: AsyncSession, *, user_id: UUID, page_id: UUID | None = None
    ) -> int:
        """See CalendarService."""
        gone = [
            ticket
            for ticket in await self.pending_tickets(session, user_id=user_id)
            if page_id in (None, ticket.page_id)
        ]
        for ticket in gone:
            self._set(ticket, state=TicketState.REMOVED)
        return len(gone)

    async def claim_tickets_for_order(
        self,
        session: AsyncSession,
        order_id: UUID,
        user_id: UUID,
        page_id: UUID | None = None,
        *,
        ticket_ids: Sequence[UUID] | None = None,
        reserved_until: datetime,
        now: datetime,
    ) -> None:
        """See CalendarService."""
        tickets = [
            ticket
            for ticket in await self.pending_tickets(session, user_id=user_id)
            if page_id in (None, ticket.page_id) and (ticket_ids is None or ticket.id in ticket_ids)
        ]
        if ticket_ids is not None and len(tickets) != len(set(ticket_ids)):
            raise Conflict("Your cart has changed in the meantime.")
        wanted = counts_by_type(ticket.ticket_type_id for ticket in tickets)
        for type_id, number in wanted.items():
            kind = self.types[type_id]
            if not kind.min_per_order <= number <= kind.max_per_order:
                raise Invalid(f"{kind.name}: choose {kind.min_per_order} to {kind.max_per_order}.")
        for type_id in wanted:
            self._check_person(self.types[type_id], user_id, wanted)
        if lines := self._shortages(wanted, now, user_id):
            raise SoldOut(lines)
        for ticket in tickets:
            self._set(ticket, state=TicketState.RESERVED, order_id=order_id, reserved_until=reserved_until)

    async def confirm_tickets_for_order(self, session: AsyncSession, order_id: UUID) -> Confirmation:
        """See CalendarService."""
        tickets = await self.get_tickets_for_order(session, order_id)
        reserved = [ticket for ticket in tickets if ticket.state is TicketState.RESERVED]
        if any(ticket.state is TicketState.CANCELLED for ticket in tickets) or any(
            self.types[ticket.ticket_type_id].entry.state is EntryState.CANCELLED for ticket in reserved
        ):
            return Confirmation.CLOSED
        for ticket in reserved:
            self._set(ticket, state=TicketState.CONFIRMED, code=new_door_code(), reserved_until=None)
        return Confirmation.CONFIRMED

    async def release_tickets_for_order(self, _session: AsyncSession, order_id: UUID) -> int:
        """See CalendarService."""
        reserved = self._find(lambda t: t.order_id == order_id and t.state is TicketState.RESERVED)
        for ticket in reserved:
            self._set(ticket, state=TicketState.PENDING, order_id=None, reserved_until=None)
        return len(reserved)

    async def hold_tickets_until(
        self, _session: AsyncSession, order_id: UUID, *, reserved_until: datetime | None
    ) -> None:
        """See CalendarService."""
        for ticket in self._find(lambda t: t.order_id == order_id and t.state is TicketState.RESERVED):
            self._set(ticket, reserved_until=reserved_until)

    async def extend_hold(self, session: AsyncSession, order_id: UUID, *, reserved_until: datetime) -> bool:
        """See CalendarService."""
        held = self._find(lambda t: t.order_id == order_id and t.state is TicketState.RESERVED)
        kinds = [self.types[ticket.ticket_type_id] for ticket in held]
        of_types = any(runs_short(kind.capacity, self.allocated(kind)) for kind in kinds)
        if of_types or any(runs_short(kind.entry.capacity, self._in_entry(kind.entry)) for kind in kinds):
            return False
        await self.hold_tickets_until(session, order_id, reserved_until=reserved_until)
        return bool(held)

    async def cancel_tickets(
        self, session: AsyncSession, order_id: UUID, *, ticket_ids: Sequence[UUID]
    ) -> list[UUID]:
        """See CalendarService."""
        tickets = await self.get_tickets_for_order(session, order_id)
        gone = [ticket for ticket in tickets if ticket.id in ticket_ids and ticket.state in STOCK_STATES]
        for ticket in gone:
            self._set(ticket, state=TicketState.CANCELLED, reserved_until=None)
        return [ticket.id for ticket in gone]

    async def block_tickets_for_order(self, session: AsyncSession, order_id: UUID, *, blocked: bool) -> int:
        """See CalendarService."""
        tickets = await self.get_tickets_for_order(session, order_id)
        changed = [ticket for ticket in tickets if ticket.blocked != blocked]
        for ticket in changed:
            self._set(ticket, blocked=blocked)
        return len(changed)

    async def orders_of_cancelled_entries(
        self, _session: AsyncSession, *, after: UUID | None = None, limit: int
    ) -> list[UUID]:
        """See CalendarService."""
        return self._orders_holding(after, of_cancelled=True)[:limit]

    async def orders_holding_tickets(
        self, _session: AsyncSession, *, after: UUID | None, limit: int
    ) -> list[UUID]:
        """See CalendarService."""
        return self._orders_holding(after)[:limit]

    async def stock_differences(self, _session: AsyncSession) -> list[StockDifferenceDTO]:
        """See CalendarService. What is taken is counted here from the tickets themselves: it never differs."""
        return []

    async def recount_pools(self, _session: AsyncSession, pool_ids: Sequence[UUID]) -> int:
        """See CalendarService."""
        return 0

    async def get_tickets_for_order(self, _session: AsyncSession, order_id: UUID) -> list[TicketDTO]:
        """See CalendarService."""
        return self._find(lambda ticket: ticket.order_id == order_id)

    async def get_tickets_for_orders(
        self, session: AsyncSession, order_ids: Sequence[UUID]
    ) -> dict[UUID, list[TicketDTO]]:
        """See CalendarService."""
        return {order_id: await self.get_tickets_for_order(session, order_id) for order_id in order_ids}

    async def lapsed_orders(
        self, _session: AsyncSession, *, ticket_type_ids: Sequence[UUID], now: datetime, limit: int = 5
    ) -> list[UUID]:
        """See CalendarService."""
        entries = {self.types[type_id].entry.id for type_id in ticket_type_ids if type_id in self.types}
        oldest: dict[UUID, datetime] = {}
        for ticket in self._find(lambda t: t.entry_id in entries and t.state is TicketState.RESERVED):
            until = ticket.reserved_until
            if ticket.order_id is not None and until is not None and until < now:
                oldest[ticket.order_id] = min(until, oldest.get(ticket.order_id, until))
        return sorted(oldest, key=lambda order_id: (oldest[order_id], order_id))[:limit]

    async def orders_by_ticket_code(self, _session: AsyncSession, *, page_id: UUID, code: str) -> list[UUID]:
        """See CalendarService."""
        found = self._find(lambda t: t.page_id == page_id and t.code == code.strip().upper())
        return [ticket.order_id for ticket in found if ticket.order_id is not None]

    def _find(self, wanted: Callable[[TicketDTO], bool]) -> list[TicketDTO]:
        return sorted(
            map(self._with_entry, filter(wanted, self.tickets.values())),
            key=lambda t: (
                t.page_name,
                t.page_id,
                t.starts_at,
                t.entry_id,
                self.types[t.ticket_type_id].position,
                t.id,
            ),
        )

    def _orders_holding(self, after: UUID | None, *, of_cancelled: bool = False) -> list[UUID]:
        held = self._find(lambda t: t.state in STOCK_STATES and t.order_id is not None)
        orders = {ticket.order_id for ticket in held if ticket.entry_cancelled or not of_cancelled}
        return sorted(one for one in orders if one is not None and (after is None or one > after))

    def _with_entry(self, ticket: TicketDTO) -> TicketDTO:
        """The entry may have been cancelled since the ticket was made."""
        state = self.types[ticket.ticket_type_id].entry.state
        return replace(ticket, entry_cancelled=state is EntryState.CANCELLED)

    def _set(self, ticket: TicketDTO, **changes: object) -> None:
        self.tickets[ticket.id] = replace(ticket, **changes)  # type: ignore[arg-type]  # names come from this file

    def _taken(self, wanted: Callable[[TicketDTO], bool]) -> int:
        return sum(1 for ticket in self.tickets.values() if ticket.state in STOCK_STATES and wanted(ticket))

    def _in_entry(self, entry: StubEntry) -> int:
        return self._taken(lambda ticket: ticket.entry_id == entry.id)

    def _left(self, kind: StubType) -> int | None:
        rooms = []
        if kind.capacity is not None:
            rooms.append(kind.capacity - self.allocated(kind))
        if kind.entry.capacity is not None:
            rooms.append(kind.entry.capacity - self._in_entry(kind.entry))
        return max(0, min(rooms)) if rooms else None

    def _check(
        self, kind: StubType, user_id: UUID, before: int, in_cart: int, quantity: int, now: datetime
    ) -> None:
        if quantity == 0:
            return
        if not kind.min_per_order <= quantity <= kind.max_per_order:
            raise Invalid(f"Choose {kind.min_per_order} to {kind.max_per_order}.")
        if quantity <= before:
            return
        if not kind.sells(now):
            raise Conflict("This is not on sale.")
        if in_cart - before + quantity > MAX_PENDING:
            raise Invalid(f"A cart holds at most {MAX_PENDING} tickets.")
        self._check_person(kind, user_id, {kind.id: quantity})
        left = self._left(kind)
        if left is not None and quantity > left and not self._lapsed_holds(kind.entry, now):
            raise SoldOut([self._line(kind, quantity, now, user_id)])

    def _check_person(self, kind: StubType, user_id: UUID, wanted: dict[UUID, int]) -> None:
        own = self._find(
            lambda t: (t.user_id, t.entry_id) == (user_id, kind.entry.id) and t.state in STOCK_STATES
        )
        of_type = [ticket.state for ticket in own if ticket.ticket_type_id == kind.id]
        in_entry = sum(n for other, n in wanted.items() if self.types[other].entry is kind.entry)
        mine = Mine(of_type.count(TicketState.RESERVED), len(of_type), len(own))
        if reason := kind.limits.refusal(mine, of_type=wanted[kind.id], of_entry=in_entry):
            raise Invalid(reason)

    def _lapsed_holds(self, entry: StubEntry, now: datetime) -> bool:
        return any(
            ticket.reserved_until is not None and ticket.reserved_until < now
            for ticket in self.tickets.values()
            if ticket.entry_id == entry.id and ticket.state is TicketState.RESERVED
        )

    def _shortages(self, wanted: dict[UUID, int], now: datetime, user_id: UUID) -> list[SoldOutLine]:
        lines = []
        for type_id, number in wanted.items():
            kind = self.types[type_id]
            left = self._left(kind)
            entry = kind.entry
            in_entry = sum(n for other, n in wanted.items() if self.types[other].entry is entry)
            entry_short = entry.capacity is not None and self._in_entry(entry) + in_entry > entry.capacity
            if not kind.sells(now) or entry_short or (left is not None and number > left):
                lines.append(self._line(kind, number, now, user_id))
        return lines

    def _line(self, kind: StubType, wanted: int, now: datetime, user_id: UUID) -> SoldOutLine:
        if not kind.sells(now):
            return SoldOutLine(kind.id, kind.entry.title, kind.name, wanted, left=0, closed=True, yours=0)
        own = self._find(lambda t: t.user_id == user_id and t.state is TicketState.RESERVED)
        yours = sum(self._scarcest(kind) in (ticket.entry_id, ticket.ticket_type_id) for ticket in own)
        left = self._left(kind) or 0
        return SoldOutLine(kind.id, kind.entry.title, kind.name, wanted, left, closed=False, yours=yours)

    def _scarcest(self, kind: StubType) -> UUID:
        entry = kind.entry
        if entry.capacity is None:
            return kind.id
        room = entry.capacity - self._in_entry(entry)
        return entry.id if kind.capacity is None or room <= kind.capacity - self.allocated(kind) else kind.id
