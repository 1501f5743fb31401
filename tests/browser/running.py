"""A whole shop in processes of its own, as the demo starts it, and the hands behind its counter."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from cart.models import CheckoutAttempt, Order
from events.models import Page
from shared.contracts.states import PageRole
from shared.database import Database
from shared.demo import Ports, environment, start_shop, start_stand_ins
from shared.identity.users import find_or_create_user
from shared.ids import new_id
from shared.sandbox.inbox.mailbox import Mail, Mailbox
from shared.settings import Settings
from shared.supervisor import Supervisor
from tests import event_rows
from tests.eventually import eventually
from tests.ports import four_free_ports


@dataclass(frozen=True, slots=True)
class Sale:
    """A ticket type on sale: where it is sold, and what it is called there."""

    page: str
    href: str
    title: str
    type_name: str


@dataclass(frozen=True, slots=True)
class RunningShop:
    """The parts that are up. Each test makes pages and people of its own, so that none is in another's way."""

    settings: Settings
    database: Database
    inbox: str
    stripe: str
    mailbox: Mailbox

    @property
    def url(self) -> str:
        """Where the shop is."""
        return self.settings.public_url

    async def sell(
        self, title: str, *, cost: int = 2000, entry_capacity: int | None = None, **values: object
    ) -> Sale:
        """A ticket type of a new page's new entry; `capacity`, and for the page `currency`, `delayed_methods`."""
        slug = f"hall-{new_id().hex[-8:]}"
        of_page = {name: values.pop(name) for name in ("currency", "delayed_methods") if name in values}
        starts_at = datetime.now(UTC).replace(hour=17, minute=30) + timedelta(days=9)
        async with self.database.sessions.begin() as session:
            page = await event_rows.add_page(session, slug, **of_page)
            entry = await event_rows.add_entry(
                session, page, "evening", starts_at=starts_at, title=title, capacity=entry_capacity
            )
            kind = await event_rows.add_type(session, entry, "Standing", cost=cost, **values)  # type: ignore[arg-type]
        return Sale(slug, f"/p/{slug}/evening", title, kind.name)

    async def make_owner(self, sale: Sale, email: str) -> None:
        """Let somebody watch the sales of this page."""
        async with self.database.sessions.begin() as session:
            page = (await session.scalars(select(Page).where(Page.slug == sale.page))).one()
            user = await find_or_create_user(session, email=email)
            await event_rows.add_member(session, page, user.id, PageRole.OWNER)

    async def orders_and_attempts(self, email: str) -> tuple[int, int]:
        """How many orders somebody has, and how many times these went to Stripe."""
        async with self.database.sessions() as session:
            made = await session.scalars(select(Order.id).where(Order.email == email))
            ids: list[UUID] = list(made)
            sent = select(func.count()).where(CheckoutAttempt.order_id.in_(ids))
            return len(ids), await session.scalar(sent) or 0

    async def mail(self, to: str, subject: str) -> Mail:
        """The newest mail to this address whose subject holds these words, as soon as it has arrived."""
        found: list[Mail] = []

        async def arrived() -> bool:
            found[:] = [one for one in self.mailbox.newest(20) if one.to == to and subject in one.subject]
            return bool(found)

        await eventually(arrived)
        return found[0]

    async def turn(self, switch: str, **wishes: object) -> None:
        """One of the stand-in's switches for tests."""
        async with httpx.AsyncClient(base_url=self.stripe, auth=("sk_test_demo", "")) as client:
            (await client.post(f"/_test/{switch}", json=wishes)).raise_for_status()

    @asynccontextmanager
    async def slow_bank(self) -> AsyncIterator[None]:
        """Delayed payments wait for the test to say how they end, however slow this machine is."""
        await self.turn("clock", now=int(time.time()))
        try:
            yield
        finally:
            await self.turn("clock", now=0)


@asynccontextmanager
async def running_shop(database_url: str, folder: Path) -> AsyncIterator[RunningShop]:
    """Start the parts on a migrated database; all of them are gone after the block."""
    ports = Ports.starting_at(four_free_ports())
    shop_url, inbox, stripe = (f"http://127.0.0.1:{port}" for port in (ports.shop, ports.inbox, ports.stripe))
    settings = replace(
        Settings.from_env({"TILLGATE_ENV": "development", "PUBLIC_URL": shop_url, "STRIPE_API_BASE": stripe}),
        database_url=database_url,
        var_dir=folder,
    )
    supervisor = Supervisor(folder / "demo" / "logs")
    database = Database(database_url)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("STRIPE_")]:
            patch.delenv(name)  # whoever has keys of their own tests with the stand-in all the same
        env = environment(settings, ports)
        start_stand_ins(supervisor, settings, ports, env)
        start_shop(supervisor, settings, ports, env)
    try:
        supervisor.wait_until_ready()
        yield RunningShop(settings, database, inbox, stripe, Mailbox(folder / "demo" / "mail"))
        supervisor.check()
    finally:
        await database.close()
        supervisor.stop_all()
