"""The random id of this installation: marks what is ours at Stripe. It never changes, so it is read once per engine."""

from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.models import Installation

_known: "WeakKeyDictionary[Engine, UUID]" = WeakKeyDictionary()


async def installation_id(session: AsyncSession) -> UUID:
    """This database's installation id."""
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    if engine not in _known:
        _known[engine] = (await session.scalars(select(Installation.installation_id))).one()
    return _known[engine]
