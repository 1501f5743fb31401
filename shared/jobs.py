"""Jobs are nudges: truth is a due row, a job only makes its sweep run sooner. The other half is worker.py.

Enqueueing is one row of PgQueuer's table, written with all else that its transaction records (`write_at_commit`);
PgQueuer's own enqueue is a statement on a connection of its own. No dedupe key: a second transaction would wait at
the unique index until the first one ends, and every checkout nudges "mail". Nudges that come together share one run
in the worker instead.
"""

import re

from sqlalchemy import Enum, Integer, LargeBinary, Text, column, table
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import NewRow, write_at_commit

ENTRYPOINT = "sweep"
JOBS = table(
    "pgqueuer",
    column("priority", Integer),
    column("entrypoint", Text),
    column("payload", LargeBinary),
    column("status", Enum("queued", name="pgqueuer_status", create_type=False)),
)


async def nudge(session: AsyncSession, sweep: str) -> None:
    """Have the worker run the named sweep as soon as this transaction commits; nothing if it rolls back."""
    job = {"priority": 0, "entrypoint": ENTRYPOINT, "payload": sweep.encode(), "status": "queued"}
    await write_at_commit(session, NewRow(JOBS, job))


def jobs_schema() -> list[str]:
    """The statements that make PgQueuer's tables, one by one: a driver takes no more at a time. For the migrations."""
    from pgqueuer.adapters.persistence.qb import (
        QueryBuilderEnvironment,  # here: only migrations pay for its import
    )

    return re.split(r"\n\n(?=CREATE )", QueryBuilderEnvironment().build_install_query())
