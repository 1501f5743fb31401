"""A domain on its own (spec: A4): fills the slot of the missing one with a stub; used by `serve --only`."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.errands import NoErrands
from shared.contracts.stub_cart import StubCartService
from shared.contracts.stubs import StubCalendarService
from shared.web import Tillgate


def fill_empty_slot(app: Tillgate, only: str) -> None:
    """Put a stub where `only` expects the other domain; beside cart, whoever signs in finds tickets in the cart."""
    if only == "events":
        app.services.cart = StubCartService()
        return
    app.services.calendar = calendar = sample_calendar(app.clock.now())
    app.services.errands = TwoOfEach(calendar)


class TwoOfEach(NoErrands):
    """Whoever signs in finds two tickets of each type in the cart, as if they had chosen them."""

    def __init__(self, calendar: StubCalendarService) -> None:
        self._calendar = calendar

    async def carry_out(self, session: AsyncSession, *, user_id: UUID, text: str, now: datetime) -> str:
        """See Errands."""
        for ticket_type_id in self._calendar.types:
            await self._calendar.set_pending_quantity(
                session, user_id=user_id, ticket_type_id=ticket_type_id, quantity=2, now=now
            )
        return "/cart"


def sample_calendar(now: datetime) -> StubCalendarService:
    """Two pages with something to pay and something free."""
    calendar = StubCalendarService()
    for slug, name, title in (
        ("harbour-jazz", "Harbour Jazz", "Late Set"),
        ("print-room", "The Print Room", "First Print"),
    ):
        page = calendar.add_page(slug, name=name)
        entry = calendar.add_entry(page, title, starts_at=now + timedelta(days=7), capacity=100)
        calendar.add_type(entry, "Standard", cost=Decimal("24.50"))
        calendar.add_type(entry, "Under 14", cost=Decimal(0), capacity=20)
    return calendar
