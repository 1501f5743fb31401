"""What models cannot say: rows that never change, the one row that names this installation, PgQueuer's tables."""

from alembic import op

from shared.jobs import jobs_schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("ledger_transfers", "order_lines")


def upgrade() -> None:
    """Refuse changes to what was written for good, to the superuser too (design: Ledger)."""
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: write a new row that corrects the old one', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
    """)
    for table in APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """)
        # ALWAYS: also in a session that plays a replica, where ordinary triggers sleep
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only")
    op.execute("INSERT INTO installation (id, installation_id) VALUES (1, gen_random_uuid())")
    # PgQueuer's own tables, by its own statements; they hold colons, which op.execute would take for parameters
    for statement in jobs_schema():
        op.get_bind().exec_driver_sql(statement)
