"""The random id of this installation, and the mark that it puts on everything of ours at Stripe."""

from collections.abc import Mapping
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.models import Installation

APP = "tillgate"

_known: "WeakKeyDictionary[Engine, UUID]" = WeakKeyDictionary()


async def installation_id(session: AsyncSession) -> UUID:
    """This database's installation id. It never changes, so it is read once per engine."""
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    if engine not in _known:
        _known[engine] = (await session.scalars(select(Installation.installation_id))).one()
    return _known[engine]


def mark(installation: UUID) -> dict[str, str]:
    """The metadata that everything carries that we make at Stripe."""
    return {"app": APP, "installation_id": str(installation)}


def is_marked(metadata: Mapping[str, str], installation: UUID) -> bool:
    """Whether this installation made an object at Stripe; any other is foreign, and never touched."""
    return mark(installation).items() <= metadata.items()
