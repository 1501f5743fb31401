"""The whole shop with Stripe in memory: the app, the till and browsers over one database; for tests of its routes."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from shared import migrate
from shared.clock import ManualClock
from shared.contracts.stub_payments import StubPayments
from shared.database import Database, Sessions
from shared.services import Services
from shared.settings import Settings
from shared.web import Tillgate
from tests.cart_world import World
from tests.support import Browser, signed_in_client


@dataclass
class Shop:
    """The app, and a world on the same tables to bring it into any state."""

    settings: Settings
    database: Database
    clock: ManualClock
    payments: StubPayments = field(default_factory=StubPayments)

    def __post_init__(self) -> None:
        from shared.app import create_app

        services = Services()
        services.payments = self.payments
        self.app: Tillgate = create_app(
            self.settings, database=self.database, clock=self.clock, services=services
        )
        self.world = World(self.database.sessions, self.clock, self.payments)

    async def buyer(self, email: str = "ada@example.org") -> Browser:
        """A browser of somebody who is signed in."""
        return await signed_in_client(self.app, email)

    async def buyer_with(
        self, type_id: UUID, quantity: int = 1, *, email: str = "ada@example.org"
    ) -> Browser:
        """The same with so many tickets in the cart."""
        client = await self.buyer(email)
        await self.world.put(client.user_id, type_id, quantity)
        return client

    async def order_of(self, client: Browser) -> tuple[UUID, str]:
        """Check the cart out as far as Stripe's page; ids of order and session."""
        (order_id,) = await self.world.start(client.user_id)
        handover = await self.world.hand_over(client.user_id, order_id)
        assert handover.session_id is not None
        return order_id, handover.session_id

    async def paid_order_of(self, client: Browser) -> UUID:
        """The same, paid and settled; the order's id."""
        order_id, session_id = await self.order_of(client)
        await self.world.settle(self.payments.pay(session_id))
        return order_id

    async def ticket_of(self, order_id: UUID) -> UUID:
        """The first ticket that an order holds."""
        async with self.database.sessions() as session:
            return (await self.world.calendar.get_tickets_for_order(session, order_id))[0].id


async def all_rows(sessions: Sessions, *, besides: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Every row of every table of ours as text, without the tables named: equal before and after = nothing written."""
    rows = {}
    async with sessions() as session:
        for table in sorted(migrate.metadata().tables):
            if table not in besides:
                found = await session.scalars(text(f'SELECT t::text FROM "{table}" t ORDER BY 1'))  # noqa: S608 - our own names
                rows[table] = list(found)
    return rows


async def page_of(answer: object) -> str:
    """An answer's text."""
    return str(await answer.get_data(as_text=True))  # type: ignore[attr-defined]
