"""Jobs are nudges: truth is a due row, a job only makes its sweep run sooner. The other half is worker.py.

PgQueuer as measured: on the raw connection an enqueue that is the first act of a transaction escapes its rollback,
because SQLAlchemy sends BEGIN with its own first statement; so PgQueuer gets a driver that goes through the session.
And no dedupe key: a second transaction would wait at the unique index until the first one ends, and every checkout
nudges "mail". Nudges that come together share one run in the worker instead.
"""

import re
from typing import cast

from pgqueuer import Queries
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.ports.driver import Driver
from sqlalchemy.ext.asyncio import AsyncSession

ENTRYPOINT = "sweep"


class SessionDriver:
    """PgQueuer's way into a session's transaction; enough of it to enqueue."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run one statement inside the session's transaction."""
        connection = await self._session.connection()
        return [dict(row) for row in (await connection.exec_driver_sql(query, args)).mappings()]


async def nudge(session: AsyncSession, sweep: str) -> None:
    """Have the worker run the named sweep as soon as this transaction commits; nothing if it rolls back."""
    await Queries(cast("Driver", SessionDriver(session))).enqueue(ENTRYPOINT, sweep.encode())


def jobs_schema() -> list[str]:
    """The statements that make PgQueuer's tables, one by one: a driver takes no more at a time. For the migrations."""
    return re.split(r"\n\n(?=CREATE )", QueryBuilderEnvironment().build_install_query())
