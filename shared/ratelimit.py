"""Rate limits: quart-rate-limiter on a PostgreSQL table, one truth for all workers. Used by sign-in's routes.

The library reads a key and writes it back in two steps, so requests that come at once slip through. Here one
statement does both, and only the routes with a limit cost one.
"""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from math import ceil

from quart import Response
from quart_rate_limiter import RateLimit, RateLimiter, RateLimitExceeded
from quart_rate_limiter.store import RateLimiterStoreABC
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from shared.database import Database
from shared.errors import TooMany
from shared.identity.models import RateLimit as Row
from shared.security import client_address
from shared.web import Tillgate, now, show_error


class PostgresStore(RateLimiterStoreABC):
    """Theoretical arrival times in the table `rate_limits`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: str, *, at: datetime, step: timedelta, burst: timedelta) -> datetime | None:
        """Count one request, atomically. None where it is allowed, else the moment (UTC) of the next.

        GCRA: each request moves the key's theoretical arrival time one `step` on; refused while that lies more
        than `burst` ahead.
        """
        added = insert(Row).values(key=key, tat=at + step)
        statement = added.on_conflict_do_update(
            index_elements=["key"],
            set_={"tat": func.greatest(Row.tat, at, type_=Row.tat.type) + step},
            where=Row.tat <= at + burst,
        ).returning(Row.tat)
        async with self._database.read() as connection:
            if await connection.scalar(statement) is not None:
                return None
            tat = await connection.scalar(select(Row.tat).where(Row.key == key))
        return (tat or at) - burst

    async def tidy(self, at: datetime) -> int:
        """Delete keys whose time has passed: they allow what an absent key allows. Returns how many."""
        async with self._database.sessions.begin() as session:
            return len((await session.execute(delete(Row).where(Row.tat < at).returning(Row.key))).all())

    async def get(self, key: str, default: datetime) -> datetime:
        """The key's theoretical arrival time, or the default."""
        async with self._database.read() as connection:
            return await connection.scalar(select(Row.tat).where(Row.key == key)) or default

    async def set(self, key: str, tat: datetime) -> None:
        """Write the key's theoretical arrival time."""
        statement = insert(Row).values(key=key, tat=tat)
        async with self._database.read() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["key"], set_={"tat": tat})
            )

    async def before_serving(self) -> None:
        """Nothing to set up: the table is the migrations' work."""

    async def after_serving(self) -> None:
        """Nothing to clean up: the engine is the app's."""


class Limiter(RateLimiter):
    """The library's limiter with check and count in one step, on the app's clock."""

    store: PostgresStore

    async def _raise_on_rejection(self, endpoint: str, rate_limits: list[RateLimit]) -> None:
        at = now()
        for limit in rate_limits:
            step = timedelta(seconds=limit.inverse)
            key = await self._create_key(endpoint, limit)
            free_at = await self.store.take(key, at=at, step=step, burst=limit.period - step)
            if free_at is not None:
                raise RateLimitExceeded(max(1, ceil((free_at - at).total_seconds())))

    async def _update_limits(self, endpoint: str, rate_limits: list[RateLimit]) -> None:
        """Done by the check."""

    async def _after_request(self, response: Response) -> Response:
        """No RateLimit headers: they would cost another statement and help only who counts."""
        return response


async def limit_key() -> str:
    """The client's address; of IPv6 the /64, since one subscriber has all of it."""
    address = client_address()
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


async def _show_exceeded(error: RateLimitExceeded) -> tuple[Response | str, int, dict[str, str]]:
    message, details = (TooMany.__doc__ or "").strip(), {"retry_after": error.retry_after}
    answer, status = await show_error(TooMany.status, message, details, TooMany.code)
    return answer, status, {"Retry-After": str(error.retry_after)}


def init_app(app: Tillgate) -> None:
    """Count the routes marked with `@rate_limit`, and tidy the table."""
    store = PostgresStore(app.database)
    Limiter(app, key_function=limit_key, store=store)
    app.register_error_handler(RateLimitExceeded, _show_exceeded)
    app.sweeps["rate_limits"] = store.tidy
