"""A domain on its own (spec: A4): fills the slot of the missing one with a stub; used by `serve --only`."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.stub_cart import StubCartService
from shared.contracts.stubs import StubCalendarService
from shared.identity import on_sign_in
from shared.web import Tillgate


def fill_empty_slot(app: Tillgate, only: str) -> None:
    """Put a stub where `only` expects the other domain; beside cart, whoever signs in finds tickets in the cart."""
    if only == "events":
        app.services.cart = StubCartService()
        return
    calendar = sample_calendar(app.clock.now())
    app.services.calendar = calendar

    async def put_tickets(session: AsyncSession, user_id: UUID) -> str:
        for ticket_type_id in calendar.types:
            await calendar.set_pending_quantity(
                session, user_id=user_id, ticket_type_id=ticket_type_id, quantity=2, now=app.clock.now()
            )
        return "/cart"

    on_sign_in(app, put_tickets)


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
