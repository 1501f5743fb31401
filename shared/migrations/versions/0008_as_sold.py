"""When and where a line was sold for; an entry's revision; a page's currency stays once something was sold."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _occasion_of_lines()
    _revision_of_entries()
    _currency_of_pages()


def _occasion_of_lines() -> None:
    op.add_column("order_lines", sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("order_lines", sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("order_lines", sa.Column("time_zone", sa.String(), nullable=True))
    op.add_column("order_lines", sa.Column("place", sa.String(), nullable=True))
    # nothing could move an entry until now: what it says is what it said
    op.execute("ALTER TABLE order_lines DISABLE TRIGGER append_only")
    op.execute("""
        UPDATE order_lines l SET starts_at = e.starts_at, ends_at = e.ends_at, place = e.place, time_zone = p.time_zone
        FROM entries e JOIN pages p ON p.id = e.page_id WHERE e.id = l.entry_id
    """)
    op.execute("ALTER TABLE order_lines ENABLE ALWAYS TRIGGER append_only")


def _revision_of_entries() -> None:
    op.add_column("entries", sa.Column("revision", sa.Integer(), server_default="0", nullable=False))
    # here, so that no way of changing an entry can forget it: calendars keep the file with the highest number
    op.execute("""
        CREATE FUNCTION raise_entry_revision() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.revision := OLD.revision + 1;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER raise_revision BEFORE UPDATE ON entries FOR EACH ROW
        WHEN ((OLD.title, OLD.place, OLD.starts_at, OLD.ends_at, OLD.state)
              IS DISTINCT FROM (NEW.title, NEW.place, NEW.starts_at, NEW.ends_at, NEW.state))
        EXECUTE FUNCTION raise_entry_revision()
    """)


def _currency_of_pages() -> None:
    op.execute("""
        CREATE FUNCTION keep_sold_currency() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM order_lines WHERE page_id = OLD.id) THEN
                RAISE EXCEPTION 'the currency of a page that has sold something stays'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER keep_currency BEFORE UPDATE ON pages FOR EACH ROW
        WHEN (OLD.currency IS DISTINCT FROM NEW.currency) EXECUTE FUNCTION keep_sold_currency()
    """)
