"""What people who never pay can keep others from buying: `python -m tests.hoarding` prints the table of reliability.md.

Each account does the worst that is allowed: takes the most that a checkout gives, has it extended, lets it lapse and
tries again every ten minutes, for a day (spec: L2). Time is a clock that is moved; nobody waits.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy import update

from cart import checkout
from cart.release import release_lapsed
from events.models import Entry, Pool, TicketType
from shared import migrate
from shared.clock import ManualClock
from shared.database import Database
from shared.embedded import EmbeddedPostgres
from shared.errors import AppError
from tests import event_rows
from tests.cart_world import World

PLACES = 280
TYPES = {"Standing": 8, "Seated": 8, "Box": 2}
"""Most of each that one order takes."""
TRIED_EVERY = timedelta(minutes=10)


@dataclass
class Hoard:
    """How much of an event some accounts held, look by look."""

    held: list[int] = field(default_factory=list)

    @property
    def most(self) -> int:
        """Places at one moment."""
        return max(self.held)

    @property
    def share(self) -> float:
        """Of all places over all the time."""
        return sum(self.held) / (len(self.held) * PLACES)


async def hoard(world: World, *, accounts: int, hours: float, limit: int | None) -> Hoard:
    """So many accounts for so long at a new event; `limit`: its `max_per_user`."""
    async with world.sessions.begin() as session:
        page = await event_rows.add_page(session, f"page-{accounts}-{limit or 'none'}")
        entry = await event_rows.add_entry(
            session, page, "concert", starts_at=world.clock.now() + timedelta(days=30), capacity=PLACES
        )
        kinds = [
            (await event_rows.add_type(session, entry, name, max_per_order=most)).id
            for name, most in TYPES.items()
        ]
        await session.execute(update(Entry).where(Entry.id == entry.id).values(max_per_user=limit))
        pool_id = entry.pool_id
    people, seen = [await world.buyer() for _ in range(accounts)], Hoard()
    for _ in range(int(timedelta(hours=hours) / TRIED_EVERY)):
        for user_id in people:
            await take_all(world, user_id, kinds, limit)
        async with world.sessions() as session:
            seen.held.append((await session.get_one(Pool, pool_id)).allocated)
        world.clock.advance(minutes=TRIED_EVERY / timedelta(minutes=1))
        await release_lapsed(world.sessions, world.till, now=world.clock.now())
    return seen


async def take_all(world: World, user_id: UUID, kinds: Sequence[UUID], limit: int | None) -> None:
    """The largest checkout that is allowed, and more time for what is held; refusals in words are what is measured."""
    left = limit
    for kind in kinds:
        async with world.sessions() as session:
            most = (await session.get_one(TicketType, kind)).max_per_order
        number = most if left is None else min(most, left)
        left = None if left is None else left - number
        with suppress(AppError):
            await world.put(user_id, kind, number)
    with suppress(AppError):
        await world.start(user_id)
    async with world.sessions.reading() as session:
        holds = await world.cart.open_holds(session, user_id=user_id)
    for hold in holds:
        with suppress(AppError):
            async with world.sessions.begin() as session:
                await checkout.extend(
                    session, world.till, order_id=hold.order_id, user_id=user_id, now=world.clock.now()
                )


async def measure(url: str) -> None:
    """Print one line for each case."""
    database = Database(url)
    world = World(database.sessions, ManualClock(datetime.now(UTC)))
    for accounts, limit in ((1, None), (20, None), (20, 8), (20, 4)):
        seen = await hoard(world, accounts=accounts, hours=24, limit=limit)
        told = f"{limit} a person" if limit else "no limit a person"
        click.echo(
            f"{accounts:>2} accounts, {told:18} most {seen.most:3} of {PLACES}, {seen.share:5.1%} of the day"
        )
    await database.close()


@click.command()
def main() -> None:
    """On a database of its own."""
    with tempfile.TemporaryDirectory(prefix="tillgate-hoarding-") as folder:
        Path(folder).chmod(0o755)  # the server runs as another user where we are root
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            asyncio.run(migrate.upgrade(server.url()))
            asyncio.run(measure(server.url()))
        finally:
            server.stop()
            server.remove()


if __name__ == "__main__":
    main()
