"""What a visitor was about when they were asked to sign in: kept with the sign-in, carried out once it is done.

The sign-in keeps it as a text and knows nothing of what it says; a domain fills `services.errands` to read it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Errand:
    """An errand as the pages of signing in show it."""

    title: str
    """What becomes of it, such as "In your cart once you have signed in"."""
    lines: tuple[str, ...]
    """What it is, such as "2 tickets for Late Quartets"."""
    accent: str = ""
    """The colour of the page it comes from."""


class Errands(Protocol):
    """What a domain does for the sign-in; within a request. An empty text is no errand."""

    def in_browser(self, kept: str = "") -> str:
        """What this browser itself brings of it, joined to what is kept already."""

    def take_from_browser(self) -> None:
        """Have the answer take it out of the browser, because it is kept elsewhere or carried out."""

    async def describe(self, session: AsyncSession, text: str) -> Errand | None:
        """What waits; None where there is nothing, or nothing of it is there any more."""

    async def carry_out(
        self, session: AsyncSession, *, user_id: UUID, text: str, now: datetime
    ) -> str | None:
        """Do it, inside the sign-in's transaction, with what the browser itself brings; tell the user what was done.

        A returned path replaces the one the user was going to. An AppError undoes this work alone, not the sign-in.
        """


class NoErrands:
    """Implements `Errands` where no domain brings any."""

    def in_browser(self, kept: str = "") -> str:
        """See Errands."""
        return kept

    def take_from_browser(self) -> None:
        """See Errands."""

    async def describe(self, _session: AsyncSession, _text: str) -> Errand | None:
        """See Errands."""
        return None

    async def carry_out(
        self, _session: AsyncSession, *, user_id: UUID, text: str, now: datetime
    ) -> str | None:
        """See Errands."""
        return None
