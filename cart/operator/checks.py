"""Checks that cost a call to the outside: Stripe's answer to our key, its clock, and the road of its webhooks to us.

The worker's sweep `checks` runs them at its start and every hour, a failed one every minute until it is well. Results
are rows of health_checks, read by health.py (spec: H8; peers: eventyay 2463, 4296).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cart.webhooks.news import HANDLERS, OF_ACCOUNTS
from shared.contracts.facts import EndpointFacts
from shared.contracts.payment_errors import (
    KeyRefused,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.contracts.protocols import Payments
from shared.database import Sessions
from shared.health_facts import lasted
from shared.jobs import nudge
from shared.models import HealthCheck

CLOCK, ADDRESS = "stripe_clock_ahead_seconds", "webhook_address"
ENDPOINT, VERSION = "webhook_endpoint", "webhook_version"
NAMES = (CLOCK, ADDRESS, ENDPOINT, VERSION)
ASKED = "checks_asked"
"""Not a check, but a row beside theirs: when somebody last wanted them made at once."""

EVERY, SOON = timedelta(hours=1), timedelta(minutes=1)
PATH = "/webhooks/stripe"
TIMEOUT_SECONDS = 10  # Stripe itself waits about as long
CONNECTION_RETRIES = 4  # within eight seconds: a shop that is just being restarted is well
CLOCK_SECONDS = 30  # signatures are refused beyond 300
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found. `measured` in the unit that its name ends in."""

    ok: bool
    words: str
    measured: float | None = None


class CheckSweep:
    """The sweep `checks`: takes its first turn at once, the others when they are due."""

    def __init__(self, sessions: Sessions, public_url: str) -> None:
        self._sessions, self._public_url = sessions, public_url
        self._started = False

    async def run(self, payments: Payments, now: datetime) -> int:
        """Check what is due; returns how many results were written. Two workers at once only check twice."""
        async with self._sessions.reading() as session:
            found_last = await session.scalars(
                select(HealthCheck).where(HealthCheck.name.in_((*NAMES, ASKED)))
            )
            rows = {row.name: row for row in found_last}
        asked = rows.pop(ASKED, None) is not None
        if (
            self._started
            and len(rows) == len(NAMES)
            and not any(_is_due(row, now, asked=asked) for row in rows.values())
        ):
            return 0
        found = await check_all(payments, self._public_url)
        async with self._sessions.begin() as session:
            await keep(session, found, now=now)
            await session.execute(delete(HealthCheck).where(HealthCheck.name == ASKED, HealthCheck.at <= now))
        self._started = True
        return len(found)


def _is_due(row: HealthCheck, now: datetime, *, asked: bool) -> bool:
    """By its age, or because somebody has asked for it."""
    return row.at <= now - (EVERY if row.ok else SOON) or asked


async def keep(session: AsyncSession, found: dict[str, Outcome], *, now: datetime) -> None:
    """Write what was found over what was known."""
    for name, outcome in found.items():
        values = {"at": now, "ok": outcome.ok, "detail": outcome.words, "measured": outcome.measured}
        await session.execute(
            insert(HealthCheck)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )


async def check_anew(session: AsyncSession, *, now: datetime) -> None:
    """Have the worker check now; until it has, what it found last stands."""
    await keep(session, {ASKED: Outcome(True, "")}, now=now)
    await nudge(session, "checks")


async def check_all(payments: Payments, public_url: str) -> dict[str, Outcome]:
    """Ask Stripe and our own address; nothing may be open meanwhile."""
    address = public_url + PATH
    return {
        CLOCK: await check_clock(payments),
        ADDRESS: await check_address(payments, address),
        **await check_endpoints(payments, address),
    }


async def check_clock(payments: Payments) -> Outcome:
    """Whether Stripe takes our key, and how far our clock is from its own."""
    try:
        ahead = await payments.clock_difference()
    except (PaymentsUnavailable, PaymentsRefused) as error:
        return _no_answer(error)
    side = "ahead of" if ahead > 0 else "behind"
    words = f"Stripe takes our key; our clock is {lasted(timedelta(seconds=abs(ahead)))} {side} its."
    return Outcome(abs(ahead) <= CLOCK_SECONDS, words, ahead)


def _no_answer(error: PaymentsUnavailable | PaymentsRefused) -> Outcome:
    if isinstance(error, KeyRefused):
        return Outcome(
            False, "Stripe does not accept our key: nobody can pay. Was it rolled, revoked or restricted?"
        )
    return Outcome(False, f"Stripe gave no answer. {error.details.get('reason', '')}".strip())


async def check_address(payments: Payments, address: str) -> Outcome:
    """Send a signed event of our own to our webhook by its public address, as Stripe does: no redirect is followed."""
    body, signature = payments.ping()
    transport = httpx.AsyncHTTPTransport(retries=CONNECTION_RETRIES)
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS) as client:
        try:
            answer = await client.post(
                address,
                content=body,
                headers={"Stripe-Signature": signature, "Content-Type": "application/json"},
            )
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            return Outcome(False, f"{address} does not answer ({why}): no webhook can arrive.")
    return judge_answer(
        address, answer.status_code, answer.headers.get("Location", ""), _said(answer, "result")
    )


def _said(answer: httpx.Response, name: str) -> Any:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body.get(name) if isinstance(body, dict) else None


def judge_answer(address: str, status: int, location: str, result: object) -> Outcome:
    """What the answer to our own event says about Stripe's."""
    if 200 <= status < 300 and result == "pong":
        return Outcome(True, f"{address} takes signed events.")
    if 200 <= status < 300:
        words = f"{address} answers {status}, but it is not this shop that answers: events get lost there."
    elif 300 <= status < 400:
        words = f"{address} redirects to {location or 'another address'}: Stripe follows no redirect."
    elif status == 400:
        words = (
            f"{address} refuses our signature by the first STRIPE_WEBHOOK_SECRET: "
            "that secret is not known there, or a clock is wrong."
        )
    else:
        words = f"{address} answers {status}: no webhook arrives."
    return Outcome(False, words)


async def check_endpoints(payments: Payments, address: str) -> dict[str, Outcome]:
    """Whether Stripe sends to our address all events that we act on, and in our version."""
    try:
        endpoints = await payments.webhook_endpoints()
    except (PaymentsUnavailable, PaymentsRefused) as error:
        unknown = _no_answer(error)
        return {ENDPOINT: unknown, VERSION: unknown}
    ours = [endpoint for endpoint in endpoints if endpoint.url == address]
    return {
        ENDPOINT: judge_endpoints(endpoints, ours, address),
        VERSION: judge_version(ours, payments.api_version),
    }


def judge_endpoints(
    endpoints: Sequence[EndpointFacts], ours: Sequence[EndpointFacts], address: str
) -> Outcome:
    """One that is switched on points exactly here, and each such is sent every type that we act on."""
    if not ours and urlsplit(address).hostname in LOOPBACK:
        return Outcome(
            True, "On this machine `stripe listen` brings the events; Stripe has no endpoint for it."
        )
    if not ours:
        others = ", ".join(endpoint.url for endpoint in endpoints) or "no other"
        return Outcome(False, f"No endpoint at Stripe points to {address}. It has: {others}.")
    on = [endpoint for endpoint in ours if endpoint.enabled]
    if not on:
        return Outcome(False, f"The endpoint {address} is switched off at Stripe.")
    needed = [name for name in HANDLERS if name not in OF_ACCOUNTS]
    # each alone: one for connected accounts does not make up for what the shop's own is not sent
    for endpoint in on:
        missing = [name for name in needed if name not in endpoint.events]
        if missing and "*" not in endpoint.events:
            one = "" if len(on) == 1 else f" by one of its {len(on)} endpoints"
            return Outcome(False, f"Stripe does not send to {address}{one}: {', '.join(missing)}.")
    return Outcome(True, f"Stripe sends all {len(needed)} types of events that we act on.")


DEFAULT_VERSION = "the account’s default version"
"""What an endpoint without a version of its own gets: somebody may change it in the dashboard."""


def judge_version(ours: Sequence[EndpointFacts], wanted: str) -> Outcome:
    """Events look as the SDK expects them only in its own API version."""
    others = sorted({str(one.api_version or DEFAULT_VERSION) for one in ours if one.api_version != wanted})
    if others:
        return Outcome(False, f"Webhooks come in {', '.join(others)}, not in API version {wanted}.")
    return Outcome(True, f"Webhooks come in API version {wanted}.")
