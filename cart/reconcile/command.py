"""`python -m shared reconcile`: carries a run out and tells what it found; the command line loads it by name."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from cart.reconcile.differences import KIND_WORDS, Difference
from cart.reconcile.run import Report, reconcile
from cart.till import Till
from shared.formats import counted
from shared.settings import SettingsError
from shared.web import Tillgate


async def run(
    app: Tillgate,
    *,
    since: datetime,
    grace: timedelta,
    commit: bool,
    refund_orphans: bool,
    progress: Callable[[str], None],
) -> Report:
    """One run with the parts of this app, which is started and stopped here. Raises SettingsError without keys."""
    if not app.services.filled("payments"):
        raise SettingsError("STRIPE_SECRET_KEY is not set.")
    await app.startup()
    try:
        return await reconcile(
            app.database.sessions,
            Till(app.services.calendar, app.services.payments, app.settings.public_url),
            now=app.clock.now(),
            since=since,
            grace=grace,
            commit=commit,
            refund_orphans=refund_orphans,
            progress=progress,
        )
    finally:
        await app.shutdown()


def exit_status(report: Report) -> int:
    """0: nothing differs. 1: something does, or did until it was repaired. 2: Stripe could not be asked."""
    if report.errors:
        return 2
    return 1 if report.differences else 0


def as_json(report: Report) -> dict[str, Any]:
    """The whole report for machines."""
    return {
        "id": str(report.id),
        "started_at": report.started_at.isoformat(),
        "since": report.since.isoformat(),
        "committed": report.committed,
        "compared": dict(report.compared),
        "differences": [difference.as_json() for difference in report.differences],
        "errors": report.errors,
        "status": exit_status(report),
    }


def as_text(report: Report) -> str:
    """The same for people, a table for each kind of difference."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    counts = ", ".join(counted(number, name) for name, number in report.compared.items()) or "nothing"
    yield f"Compared since {report.since:%Y-%m-%d %H:%M} UTC: {counts}."
    for error in report.errors:
        yield f"Could not be looked at: {error}"
    for kind, same in groupby(sorted(report.differences, key=lambda one: one.kind), key=lambda one: one.kind):
        rows = list(same)
        yield f"\n{KIND_WORDS[kind]} ({len(rows)})"
        yield from _table([_row(one, committed=report.committed) for one in rows])
    yield ""
    yield _verdict(report)


def _row(difference: Difference, *, committed: bool) -> tuple[str, ...]:
    what = "done" if committed and difference.done else "would"
    deed = difference.done if what == "done" else difference.remedy
    where = " ".join(part for part in (difference.reference, difference.stripe_account) if part)
    return difference.about, difference.here, difference.stripe or "–", f"{what}: {deed}", where


HEAD = ("about", "here", "at Stripe", "remedy", "reference")


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in (HEAD, *rows)) for place in range(len(HEAD))]
    for row in (HEAD, *rows):
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _verdict(report: Report) -> str:
    if not report.differences:
        return "Not everything could be looked at." if report.errors else "The books balance."
    left = [one for one in report.differences if not one.repaired]
    differ = counted(len(report.differences), "differences")
    if not report.committed:
        mendable = sum(one.repair is not None for one in left)
        return f"{differ}; --commit would repair {mendable}, {len(left) - mendable} need a person."
    return f"{differ}, {len(report.differences) - len(left)} repaired, {len(left)} left."
