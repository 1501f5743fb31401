"""Tables of events. No foreign key leads to a table of cart; `order_id` is a plain id."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.contracts.states import EntryState, TicketState
from shared.database import Base, Minor, currency_type
from shared.identity.models import user_fk
from shared.ids import new_id

SLUG = "~ '^[a-z0-9]+(-[a-z0-9]+)*$'"


class Page(Base):
    """An organizer's shop."""

    __tablename__ = "pages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    text: Mapped[str] = mapped_column(default="", server_default="")
    currency: Mapped[str] = mapped_column(currency_type())
    time_zone: Mapped[str]
    """IANA name; every time of the page is shown in it."""
    hold_minutes: Mapped[int] = mapped_column(default=30, server_default="30")
    stripe_account: Mapped[str] = mapped_column(default="", server_default="")
    """'' = the platform's own account."""
    delayed_methods: Mapped[bool] = mapped_column(default=False, server_default=sql("false"))
    """Whether payment methods that settle days later are offered."""
    refund_hours: Mapped[int | None]
    """A buyer may give paid tickets back until so many hours before the start; None = only the organizer refunds."""
    accent: Mapped[str] = mapped_column(default="#8a3b12", server_default="#8a3b12")
    payments_stopped: Mapped[bool] = mapped_column(default=False, server_default=sql("false"))
    """Its Stripe account may not charge at the moment (cart/accounts.py)."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(f"slug {SLUG}", name="slug"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("hold_minutes BETWEEN 1 AND 1440", name="hold_minutes"),
        CheckConstraint("refund_hours >= 0", name="refund_hours"),
        CheckConstraint("accent ~ '^#[0-9a-f]{6}$'", name="accent"),
    )


class PageMember(Base):
    """Who works for a page, and as what: owner, staff or door."""

    __tablename__ = "page_members"

    page_id: Mapped[UUID] = mapped_column(ForeignKey("pages.id"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(user_fk(), primary_key=True, index=True)
    role: Mapped[str]

    __table_args__ = (CheckConstraint("role IN ('owner', 'staff', 'door')", name="role"),)


class Calendar(Base):
    """Entries that belong together, in the container that shows them: today always a page."""

    __tablename__ = "calendars"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    page_id: Mapped[UUID] = mapped_column(ForeignKey("pages.id"), index=True)
    name: Mapped[str]
    container_id: Mapped[UUID]
    container_type: Mapped[str] = mapped_column(default="page", server_default="page")


class Pool(Base):
    """A capacity and what of it is taken. The CHECK makes overselling impossible in the database (spec: H3).

    `allocated` is the number of tickets in reserved, confirmed and checked_in; nothing counts rows for it.
    """

    __tablename__ = "pools"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    capacity: Mapped[int | None]
    """None = unlimited."""
    allocated: Mapped[int] = mapped_column(default=0, server_default="0")
    closed: Mapped[bool] = mapped_column(default=False, server_default=sql("false"))
    """The entry is not confirmed (draft or cancelled): nothing can be claimed."""

    __table_args__ = (
        CheckConstraint("allocated >= 0 AND (capacity IS NULL OR allocated <= capacity)", name="no_oversell"),
        # the counter is updated all the time: leave room on the page so that updates stay HOT
        {"postgresql_with": {"fillfactor": 50}},
    )


class Entry(Base):
    """An event in a calendar. Its price and capacity are shared by its ticket types (spec: B3)."""

    __tablename__ = "entries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    calendar_id: Mapped[UUID] = mapped_column(ForeignKey("calendars.id"), index=True)
    page_id: Mapped[UUID] = mapped_column(ForeignKey("pages.id"))
    slug: Mapped[str]
    title: Mapped[str]
    text: Mapped[str] = mapped_column(default="", server_default="")
    place: Mapped[str] = mapped_column(default="", server_default="")
    picture: Mapped[str] = mapped_column(default="", server_default="")
    """Name of a picture under static/pictures, or ''."""
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default=EntryState.DRAFT, server_default="draft")
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    """A trigger raises it with each change of title, place, times or state: calendars go by it (RFC 5546)."""
    ticket_price: Mapped[int | None] = mapped_column(Minor)
    max_per_user: Mapped[int | None]
    """How many tickets of all types one person may have; None = no limit of its own."""
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    page: Mapped[Page] = relationship(lazy="raise")
    pool: Mapped[Pool] = relationship(lazy="raise")
    ticket_types: Mapped[list["TicketType"]] = relationship(
        lazy="raise", order_by="TicketType.position", back_populates="entry"
    )

    __table_args__ = (
        UniqueConstraint("page_id", "slug"),
        Index("ix_entries_starts_at", "starts_at"),
        CheckConstraint("state IN ('draft', 'confirmed', 'cancelled')", name="state"),
        CheckConstraint("ends_at > starts_at", name="ends_after_start"),
        CheckConstraint("ticket_price >= 0", name="ticket_price"),
        CheckConstraint("max_per_user > 0", name="max_per_user"),
        CheckConstraint(f"slug {SLUG}", name="slug"),
    )


class TicketType(Base):
    """A kind of ticket for an entry. `cost` empty = the entry's price; both empty: not for sale; 0: free."""

    __tablename__ = "ticket_types"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entries.id"), index=True)
    page_id: Mapped[UUID] = mapped_column(ForeignKey("pages.id"))
    name: Mapped[str]
    text: Mapped[str] = mapped_column(default="", server_default="")
    cost: Mapped[int | None] = mapped_column(Minor)
    pool_id: Mapped[UUID] = mapped_column(ForeignKey("pools.id"), unique=True)
    sale_starts_at: Mapped[datetime | None]
    sale_ends_at: Mapped[datetime | None]
    min_per_order: Mapped[int] = mapped_column(default=1, server_default="1")
    max_per_order: Mapped[int] = mapped_column(default=10, server_default="10")
    max_per_user: Mapped[int | None]
    """How many one person may have; None = for free ones as many as one order, else no limit of its own."""
    hold_minutes: Mapped[int | None]
    """None = the page's."""
    position: Mapped[int] = mapped_column(default=0, server_default="0")

    entry: Mapped[Entry] = relationship(lazy="raise", back_populates="ticket_types")
    pool: Mapped[Pool] = relationship(lazy="raise")

    __table_args__ = (
        CheckConstraint("cost >= 0", name="cost"),
        CheckConstraint("min_per_order BETWEEN 1 AND max_per_order", name="per_order"),
        CheckConstraint("max_per_user >= min_per_order", name="max_per_user"),
        CheckConstraint("hold_minutes BETWEEN 1 AND 1440", name="hold_minutes"),
        CheckConstraint("sale_ends_at > sale_starts_at", name="sale_window"),
    )


class Ticket(Base):
    """One ticket. `id` is its public address; `code`, made when confirmed, opens the door.

    It points at its type, never at a pool: a foreign key to the hot counter row would lock it.
    """

    __tablename__ = "tickets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    ticket_type_id: Mapped[UUID] = mapped_column(ForeignKey("ticket_types.id"))
    entry_id: Mapped[UUID] = mapped_column(ForeignKey("entries.id"))
    page_id: Mapped[UUID] = mapped_column(ForeignKey("pages.id"))
    user_id: Mapped[UUID] = mapped_column(user_fk())
    state: Mapped[str] = mapped_column(default=TicketState.PENDING, server_default="pending")
    order_id: Mapped[UUID | None]
    """cart's; a plain id across the wall. Kept only while reserved or later."""
    reserved_until: Mapped[datetime | None]
    """UTC; None while pending, once confirmed, and while money is on its way."""
    code: Mapped[str | None] = mapped_column(unique=True)
    blocked: Mapped[bool] = mapped_column(default=False, server_default=sql("false"))
    """A dispute has withdrawn the money; the state stays underneath (spec: H4)."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    checked_in_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'reserved', 'confirmed', 'checked_in', 'removed', 'cancelled')",
            name="state",
        ),
        CheckConstraint(
            "state NOT IN ('reserved', 'confirmed', 'checked_in') OR order_id IS NOT NULL",
            name="held_by_order",
        ),
        CheckConstraint(
            "state NOT IN ('confirmed', 'checked_in') OR code IS NOT NULL", name="code_when_confirmed"
        ),
        Index("ix_tickets_pending", "user_id", postgresql_where=sql("state = 'pending'")),
        Index("ix_tickets_order_id", "order_id", postgresql_where=sql("order_id IS NOT NULL")),
        Index(
            "ix_tickets_reserved",
            "ticket_type_id",
            "reserved_until",
            postgresql_where=sql("state = 'reserved'"),
        ),
        Index("ix_tickets_entry_id_state", "entry_id", "state"),
        Index("ix_tickets_removed", "created_at", postgresql_where=sql("state = 'removed'")),
        # what a person has of an event: asked at every claim
        Index(
            "ix_tickets_of_person",
            "user_id",
            "entry_id",
            postgresql_where=sql("state IN ('reserved', 'confirmed', 'checked_in')"),
        ),
    )
