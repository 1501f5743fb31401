"""Engine, session factory and model base. Imports no quart.

READ COMMITTED throughout; `lock_timeout` is set so that nobody waits for ever. Which task has a transaction open is
remembered, so that a network call inside one can be refused (`refuse_open_transaction`).
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    MetaData,
    Select,
    String,
    Table,
    TableClause,
    bindparam,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import CHAR, JSONB, insert
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session, SessionTransaction, UOWTransaction
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

P = ParamSpec("P")
T = TypeVar("T")

WAITING, NO_COMMIT = "waiting for commit", "no commit"  # keys in a session's info
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "30s"
# Connections are kept: a new one has to prepare every statement again, which doubled what a purchase costs. The few
# above are closed after use; they are there for a request that needs a second one while it holds its first.
# Four processes with a worker fit into the hundred that PostgreSQL allows when nothing is set.
POOL_SIZE, OVERFLOW = 14, 2
MOST_CONNECTIONS = POOL_SIZE + OVERFLOW
APPLICATION = "tillgate "
"""What each process calls itself to the database, with its number: so ours can be counted."""
WAIT_FOR_CONNECTION = 10
"""Seconds; then the buyer reads that it is busy (503), and what they have is safe."""
RETRIED_STATES = frozenset({"40P01", "40001", "55P03"})  # deadlock, serialization failure, lock not available
NOT_STORABLE = "22021"  # a NUL in a text: PostgreSQL has no such character
# ended by the administrator, by a crash, still starting, no connection free
AWAY_STATES = frozenset({"57P01", "57P02", "57P03", "53300"})
AWAY_ERRORS = (ConnectionError, FileNotFoundError, TimeoutError, NoConnectionFree)


class Base(DeclarativeBase):
    """Base of all models: explicit constraint names (Alembic needs them), UTC times, bigint money."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this name from the class
        UUID: PG_UUID(as_uuid=True),
        datetime: DateTime(timezone=True),
        str: String(),
        dict[str, Any]: JSONB(),
    }


class Minor(BigInteger):
    """An amount in minor units of the row's currency."""


def currency_type() -> CHAR:
    """ISO 4217 code, upper case."""
    return CHAR(3)


_open_transactions: "WeakKeyDictionary[asyncio.Task[Any], int]" = WeakKeyDictionary()


class TrackedSession(Session):
    """The synchronous half of every AsyncSession of ours; a class of its own so that events attach to it alone."""


@event.listens_for(TrackedSession, "after_begin")
def _note_begin(session: Session, transaction: SessionTransaction, _connection: Connection) -> None:
    task = asyncio.current_task()
    if task is not None and transaction.parent is None and "task" not in session.info:
        session.info["task"] = task
        _open_transactions[task] = _open_transactions.get(task, 0) + 1


@event.listens_for(TrackedSession, "before_commit")
def _write_waiting(session: Session) -> None:
    waiting = session.info.pop(WAITING, None)
    if waiting:
        session.execute(*_together(waiting))


@event.listens_for(TrackedSession, "after_transaction_end")
def _note_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(WAITING, None)  # rolled back: what was to be written with it goes too
    if transaction.parent is None and "task" in session.info:
        task = session.info.pop("task")
        _open_transactions[task] = _open_transactions.get(task, 1) - 1


class ReadingSession(TrackedSession):
    """Refuses to write: in autocommit, half of a change could stay."""


class WriteWhileReading(RuntimeError):
    """A session made for reading was asked to write: a bug in our code."""


@event.listens_for(ReadingSession, "do_orm_execute")
def _refuse_statement(state: ORMExecuteState) -> None:
    if not state.is_select:
        raise WriteWhileReading


@event.listens_for(ReadingSession, "before_flush")
def _refuse_flush(_session: Session, _context: UOWTransaction, _instances: object) -> None:
    raise WriteWhileReading


class Sessions(async_sessionmaker[AsyncSession]):
    """What processes take: `begin()` for a transaction, `reading()` and `single()` where none is needed.

    BEGIN and COMMIT are two round trips; under READ COMMITTED each statement sees its own moment with them and without.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine, expire_on_commit=False, sync_session_class=TrackedSession)
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    def reading(self) -> AsyncSession:
        """A session for any number of SELECTs that lock nothing."""
        return self(bind=self._autocommit, sync_session_class=ReadingSession, info={NO_COMMIT: True})

    def single(self) -> AsyncSession:
        """A session for one statement that writes; it stands as soon as it is done."""
        return self(bind=self._autocommit, info={NO_COMMIT: True})


class OpenTransaction(RuntimeError):
    """A network call was tried while this task has a database transaction open: a bug in our code."""


def refuse_open_transaction() -> None:
    """Raise OpenTransaction where the current task holds a transaction; called before every call to Stripe."""
    task = asyncio.current_task()
    if task is not None and _open_transactions.get(task, 0) > 0:
        raise OpenTransaction


class Database:
    """One engine for a process; `sessions` for what writes, `read()` for single statements without BEGIN and COMMIT."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=OVERFLOW,
            pool_timeout=WAIT_FOR_CONNECTION,
            pool_pre_ping=False,
            # errors are logged, and a statement may carry a sign-in link, a door code, a mail
            hide_parameters=True,
            connect_args={
                "server_settings": {
                    "application_name": f"{APPLICATION}{os.getpid()}",
                    "lock_timeout": LOCK_TIMEOUT,
                    "statement_timeout": STATEMENT_TIMEOUT,
                    "timezone": "UTC",
                    # short statements by the thousand: compiling them costs more than it saves
                    "jit": "off",
                }
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.sessions = Sessions(self.engine)

    def read(self) -> AsyncConnection:
        """`async with database.read() as connection`: each statement stands alone; for hot public pages."""
        return self._autocommit.connect()

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()


def _refuse_closed(connection: DBAPIConnection, *_record: object) -> None:
    """A database that was restarted has closed what the pool keeps: new ones, and no request notices. Asks nobody."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be inserted; `once` names a unique column whose value, if it is there already, makes it nothing."""

    table: TableClause
    values: dict[str, Any]
    once: str | None = None


def new_row(row: Base, *, once: str | None = None) -> NewRow:
    """A model's new row, with the defaults that SQLAlchemy otherwise fills in only when it flushes."""
    table, values = cast("Table", row.__table__), dict[str, Any]()
    for column in table.columns:
        value, default = getattr(row, column.key), column.default
        if value is None and isinstance(default, CallableColumnDefault):
            value = default.arg(cast("ExecutionContext", None))  # ours take no context
        elif value is None and isinstance(default, ScalarElementColumnDefault):
            value = default.arg
        if value is not None:
            values[column.key] = value
    return NewRow(table, values, once)


async def write_at_commit(session: AsyncSession, *rows: NewRow) -> None:
    """Write rows that this transaction does not read again, together with all such rows, as its last statement.

    Audit, ledger, mails and jobs only record what has been done: one round trip for all of them. Inside a savepoint
    they are written at once, so that they go with it. They may depend on each other by foreign keys.
    """
    if session.info.get(NO_COMMIT):
        raise WriteWhileReading("there is no commit here that these rows could wait for")
    if session.in_nested_transaction():
        await session.execute(*_together(rows))
    else:
        session.sync_session.info.setdefault(WAITING, []).extend(rows)


async def write_now(session: AsyncSession) -> None:
    """Write what waits for the commit, because the next statement has to see it."""
    rows = session.sync_session.info.pop(WAITING, None)
    if rows:
        await session.execute(*_together(rows))


def _together(rows: Sequence[NewRow]) -> tuple[Select[int], dict[str, Any]]:
    """One statement for all rows, and its parameters."""
    shape = tuple((row.table, tuple(row.values), row.once) for row in rows)
    named = {f"{place}_{name}": value for place, row in enumerate(rows) for name, value in row.values.items()}
    return _statement(shape), named


@lru_cache(maxsize=512)
def _statement(shape: tuple[tuple[TableClause, tuple[str, ...], str | None], ...]) -> Select[int]:
    """Composed once for each combination of rows: composing it costs more than running it."""
    inserts = []
    for place, (table, names, once) in enumerate(shape):
        values = {name: bindparam(f"{place}_{name}", type_=table.c[name].type) for name in names}
        made = insert(table).values(values)
        if once is not None:
            made = made.on_conflict_do_nothing(index_elements=[once])
        inserts.append(made.cte(f"row_{place}"))
    return select(literal(1)).add_cte(*inserts)


def user_lock(user_id: UUID) -> ColumnElement[Any]:
    """The lock of `lock_user` as a column: held for every statement after the one that selects it."""
    return func.pg_advisory_xact_lock(func.hashtextextended(f"user:{user_id}", 0))


async def lock_user(session: AsyncSession, user_id: UUID) -> None:
    """Let one transaction at a time change this user's cart and orders: the first lock in our order of locks."""
    await session.execute(select(user_lock(user_id)))


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's five-character code behind a database error."""
    return getattr(error.orig, "sqlstate", None)


def is_away(error: Exception) -> bool:
    """Whether the database could not be reached, went away meanwhile, or has no connection free: worth another try."""
    if isinstance(error, DBAPIError):
        state = sqlstate(error) or ""
        return error.connection_invalidated or state in AWAY_STATES or state.startswith("08")
    return isinstance(error, AWAY_ERRORS)


async def retrying(process: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run one short transaction again on deadlock, serialization failure or lock time-out: three tries, then the error.

    `process` must open its own session: a transaction that failed cannot be continued.
    """
    for attempt in range(3):
        try:
            return await process(*args, **kwargs)
        except DBAPIError as error:
            if sqlstate(error) not in RETRIED_STATES or attempt == 2:
                raise
            await asyncio.sleep(random.uniform(0.01, 0.05) * (attempt + 1))  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")
