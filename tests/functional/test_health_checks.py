"""The checks that call outside: our key and clock at Stripe, and the road of its webhooks to us (spec: H8)."""

import hashlib
import hmac
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from quart import Quart, Response, redirect, request
from sqlalchemy import select

from cart.models import WebhookEvent, WebhookRefusal
from cart.operator import checks, health
from cart.webhooks.news import HANDLERS
from shared.app import create_app
from shared.clock import ManualClock
from shared.contracts.facts import EndpointFacts
from shared.contracts.payment_errors import (
    KeyRefused,
    SignatureInvalid,
)
from shared.contracts.stub_payments import StubPayments
from shared.database import Database, Sessions
from shared.health_facts import Level
from shared.models import HealthCheck
from shared.payments import StripePayments
from shared.sandbox.stripe.running import RunningStandin
from shared.settings import Settings
from tests.serving import answering
from tests.shop import Shop

ADDRESS = "https://shop.example/webhooks/stripe"
VERSION = StubPayments.api_version
HANDLED = tuple(HANDLERS)


def somebody_else(answer: Callable[[], Awaitable[Response | tuple[str, int]]]) -> Quart:
    """What may stand at our address in our place."""
    app = Quart("somebody else")
    app.add_url_rule("/webhooks/stripe", "it", answer, methods=["POST"])
    return app


@pytest.fixture
async def payments(settings: Settings, standin: RunningStandin) -> AsyncIterator[StripePayments]:
    """The real client on the stand-in."""
    made = StripePayments(keyed(settings, standin))
    yield made
    await made.close()


def keyed(settings: Settings, standin: RunningStandin) -> Settings:
    """Settings with the stand-in's keys."""
    return replace(
        settings,
        stripe_secret_key=standin.secret_key,
        stripe_webhook_secrets=("whsec_ours", "whsec_old"),
        stripe_api_base=standin.url,
    )


async def test_our_own_address_takes_signed_events(
    settings: Settings, database: Database, standin: RunningStandin, payments: StripePayments
) -> None:
    """The ping goes the whole way, its signature is verified, and it leaves nothing behind."""
    app = create_app(keyed(settings, standin), database=database)
    async with answering(app) as url:
        outcome = await checks.check_address(payments, f"{url}/webhooks/stripe")
    assert outcome.ok
    async with database.sessions() as session:
        assert not list(await session.scalars(select(WebhookEvent)))


@pytest.mark.parametrize(
    ("secrets", "ok"),
    [(("whsec_old",), True), (("whsec_new", "whsec_ours"), False), (("whsec_gone",), False)],
    ids=["worker not restarted yet", "shop not restarted yet", "worker forgotten"],
)
async def test_the_newest_secret_must_be_known(
    settings: Settings, database: Database, standin: RunningStandin, secrets: tuple[str, ...], ok: bool
) -> None:
    """A worker whose secrets are others than the shop's: an older one that both know does not hide the newest."""
    app = create_app(keyed(settings, standin), database=database)
    worker = StripePayments(replace(keyed(settings, standin), stripe_webhook_secrets=secrets))
    async with answering(app) as url:
        outcome = await checks.check_address(worker, f"{url}/webhooks/stripe")
    await worker.close()
    assert outcome.ok is ok
    assert ("refuses our signature by the first STRIPE_WEBHOOK_SECRET" in outcome.words) is not ok
    async with database.sessions() as session:
        assert not list(await session.scalars(select(WebhookEvent)))
        assert len(list(await session.scalars(select(WebhookRefusal)))) == (0 if ok else 1)


async def test_a_redirecting_slash_is_found(payments: StripePayments) -> None:
    """Browsers follow, Stripe does not (peers: redirecting slash, eventyay 4296)."""

    async def go_on() -> Response:
        return redirect("/webhooks/stripe/", 308)  # type: ignore[return-value]

    async with answering(somebody_else(go_on)) as url:
        outcome = await checks.check_address(payments, f"{url}/webhooks/stripe")
    assert not outcome.ok
    assert "redirects to /webhooks/stripe/: Stripe follows no redirect" in outcome.words


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "answers 404"), (500, "answers 500"), (200, "it is not this shop that answers")],
)
async def test_other_answers_are_found(payments: StripePayments, status: int, words: str) -> None:
    """Not there, broken, or another site that says yes to everything (peers: webhook 404 for days, eventyay 2463)."""

    async def say() -> tuple[str, int]:
        assert request.headers["Stripe-Signature"].startswith("t=")
        return "<h1>Hello</h1>", status

    async with answering(somebody_else(say)) as url:
        outcome = await checks.check_address(payments, f"{url}/webhooks/stripe")
    assert not outcome.ok
    assert words in outcome.words


async def test_nobody_answers(payments: StripePayments, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is down, or the name is wrong."""
    monkeypatch.setattr(checks, "CONNECTION_RETRIES", 0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = await checks.check_address(payments, f"http://127.0.0.1:{port}/webhooks/stripe")
    assert not outcome.ok
    assert "does not answer" in outcome.words


async def test_ping_is_signed_as_stripe_signs(payments: StripePayments) -> None:
    """Stripe's scheme, written out from its documentation; the SDK's own validator agrees."""
    body, signature = payments.ping()
    stamp, digest = (part.partition("=")[2] for part in signature.split(","))
    assert digest == hmac.new(b"whsec_ours", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert payments.read_event(body, signature).type == "tillgate.ping"
    with pytest.raises(SignatureInvalid):
        payments.read_event(body + b" ", signature)


async def test_clock_against_stripes(payments: StripePayments, standin: RunningStandin) -> None:
    """Read from the `Date` of an answer; behind is as bad as ahead."""
    outcome = await checks.check_clock(payments)
    assert outcome.ok
    assert abs(outcome.measured or 0) < 5
    standin.set_clock(datetime.now(UTC) + timedelta(minutes=4))
    outcome = await checks.check_clock(payments)
    assert not outcome.ok
    assert outcome.measured == pytest.approx(-240, abs=5)
    assert "behind its" in outcome.words


async def test_refused_key_is_said_in_words(settings: Settings, standin: RunningStandin) -> None:
    """A rolled key: nobody can pay, and the operator reads why."""
    payments = StripePayments(replace(keyed(settings, standin), stripe_secret_key="sk_test_rolled"))
    with pytest.raises(KeyRefused):
        await payments.clock_difference()
    outcome = await checks.check_clock(payments)
    await payments.close()
    assert (outcome.ok, outcome.measured) == (False, None)
    assert "does not accept our key: nobody can pay" in outcome.words


def endpoint(url: str = ADDRESS, *, enabled: bool = True, **values: object) -> EndpointFacts:
    """One endpoint at Stripe that is as it should be, unless the values say otherwise."""
    return EndpointFacts(
        url=url,
        enabled=enabled,
        events=values.get("events", HANDLED),  # type: ignore[arg-type]
        api_version=values.get("api_version", VERSION),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("endpoints", "wrong", "words"),
    [
        ([endpoint()], set(), "sends all"),
        ([endpoint(events=("*",))], set(), "sends all"),
        (
            [endpoint(), endpoint(events=HANDLED[1:])],
            {checks.ENDPOINT},
            f"one of its 2 endpoints: {HANDLED[0]}.",
        ),
        ([], {checks.ENDPOINT}, "It has: no other"),
        ([endpoint(f"{ADDRESS}/")], {checks.ENDPOINT}, f"It has: {ADDRESS}/"),
        ([endpoint(enabled=False)], {checks.ENDPOINT}, "switched off"),
        ([endpoint(events=HANDLED[1:])], {checks.ENDPOINT}, f": {HANDLED[0]}."),
        ([endpoint(api_version="2020-08-27")], {checks.VERSION}, "sends all"),
    ],
)
async def test_endpoints_at_stripe(endpoints: list[EndpointFacts], wrong: set[str], words: str) -> None:
    """One that is on, exactly here, with all that we act on, in our version."""
    payments = StubPayments()
    payments.endpoints = endpoints
    found = await checks.check_endpoints(payments, ADDRESS)
    assert {name for name, outcome in found.items() if not outcome.ok} == wrong
    assert words in found[checks.ENDPOINT].words


async def test_stripe_listen_needs_no_endpoint() -> None:
    """On a developer's machine the command-line tool brings the events."""
    found = await checks.check_endpoints(StubPayments(), "http://127.0.0.1:8000/webhooks/stripe")
    assert found[checks.ENDPOINT].ok


async def test_checked_at_the_start_then_hourly_and_sooner_while_it_fails(
    sessions: Sessions, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts asks at once; afterwards each answer holds an hour, a bad one a minute."""
    well, asked = {"": True}, []

    async def check_all(_payments: object, public_url: str) -> dict[str, checks.Outcome]:
        asked.append(clock.now())
        return {name: checks.Outcome(well[""], public_url) for name in checks.NAMES}

    monkeypatch.setattr(checks, "check_all", check_all)

    async def rounds(sweep: checks.CheckSweep, *minutes: float) -> list[int]:
        return [await sweep.run(StubPayments(), clock.advance(minutes=later)) for later in minutes]

    sweep = checks.CheckSweep(sessions, "https://shop.example")
    assert await rounds(sweep, 0, 59, 1, 1) == [4, 0, 4, 0]
    well[""] = False
    assert await rounds(checks.CheckSweep(sessions, "https://shop.example"), 0, 0.5, 0.5) == [4, 0, 4]
    well[""] = True
    assert await rounds(sweep, 1, 1) == [4, 0]
    assert len(asked) == 5


async def test_what_was_found_becomes_facts(
    shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not yet, well, bad, old: each in words; a clock half a minute off is not yet an alarm."""
    monkeypatch.setattr(checks, "CONNECTION_RETRIES", 0)  # they take seconds
    sweep = shop.app.sweeps["checks"]
    assert {level for _, level in await checked(shop)} == {Level.WARN}
    shop.payments.endpoints = [endpoint("http://shop.test/webhooks/stripe")]
    shop.payments.clock_ahead = 45.0
    assert await sweep(clock.now()) == 4
    facts = dict(await checked(shop))
    assert facts[checks.CLOCK] == Level.WARN
    assert facts[checks.ENDPOINT] == Level.OK
    assert facts[checks.ADDRESS] == Level.ALARM, "nothing serves shop.test"
    shop.payments.key_refused = True
    clock.advance(minutes=2)
    await sweep(clock.now())
    facts = dict(await checked(shop))
    assert facts[checks.CLOCK] == facts[checks.ENDPOINT] == Level.ALARM
    shop.payments.key_refused, shop.payments.clock_ahead = False, 200.0
    clock.advance(minutes=2)
    await sweep(clock.now())
    assert dict(await checked(shop))[checks.CLOCK] == Level.ALARM
    async with shop.database.sessions.begin() as session:
        for row in await session.scalars(select(HealthCheck)):
            row.ok = True
    clock.advance(hours=4)
    assert {level for _, level in await checked(shop)} == {Level.WARN}


async def checked(shop: Shop) -> list[tuple[str, Level]]:
    """Name and level of what the checks found."""
    async with shop.database.sessions.reading() as session:
        facts = await health.money_facts(session, shop.clock.now())
    return [(fact.name, fact.level) for fact in facts if fact.name in checks.NAMES]
