"""The switches over HTTP, what is kept in the file, the process, and input that makes no sense."""

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.sandbox.stripe.app import create_standin
from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.params import check, parse_form
from shared.sandbox.stripe.running import RunningStandin, running_standin
from shared.sandbox.stripe.sessions import SESSION
from shared.settings import ROOT
from tests.unit.sandbox.conftest import connected, wishes


async def turn(
    standin: RunningStandin, switch: str, key: str = "sk_test_standin", **body: Any
) -> tuple[int, Any]:
    """Turn a switch over HTTP; status and answer."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = await standin.app.test_client().post(f"/_test/{switch}", json=body, headers=headers)
    return answer.status_code, await answer.get_json()


async def test_the_switches_work_over_http(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 2 section 5: for tests, under a path Stripe does not have."""
    now = int(datetime(2031, 5, 1, tzinfo=UTC).timestamp())
    assert await turn(standin, "clock", now=now) == (200, {"now": now})
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    assert session.created == now
    status, body = await turn(standin, "pay", session=session.id, number="4000000000000002")
    assert (status, body["error"]["decline_code"]) == (402, "generic_decline")
    status, body = await turn(
        standin, "pay", session=session.id, number="AT611904300234573201", method="sepa_debit"
    )
    assert (status, body["payment_status"]) == (200, "unpaid")
    status, body = await turn(standin, "finish-delayed", session=session.id)
    assert (status, body["payment_status"]) == (200, "paid")
    refund = await client.v1.refunds.create_async(params={"payment_intent": body["payment_intent"]})
    assert (await turn(standin, "fail-refund", refund=refund.id))[1]["status"] == "failed"
    assert await turn(standin, "fail-next", path="/v1/customers", fault=500) == (200, {"open": 1})
    with pytest.raises(stripe.APIError):
        await client.v1.customers.list_async()
    assert (await turn(standin, "webhooks", mode="hold"))[1] == {"held": [], "statuses": []}


async def test_a_session_made_by_hand(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """The metadata of an order on a second session, paid beside the first; for proofs that it goes back (spec: H2)."""
    first = await client.v1.checkout.sessions.create_async(params=wishes())
    _, made = await turn(standin, "copy-session", session=first.id, add=100)
    assert (
        (await turn(standin, "pay", session=first.id))[0]
        == (await turn(standin, "pay", session=made["id"]))[0]
        == 200
    )
    again = await client.v1.checkout.sessions.retrieve_async(made["id"])
    assert (again.metadata, again.payment_status) == (first.metadata, "paid")
    assert again.amount_total == (first.amount_total or 0) + 100


@pytest.mark.parametrize(
    ("switch", "body", "status"),
    [
        ("nothing", {}, 404),
        ("pay", {"session": "cs_test_none"}, 400),
        ("pay", {}, 400),
        ("finish-delayed", {"session": 7}, 400),
        ("fail-next", {"path": "/v1/x", "fault": "boom"}, 400),
        ("fail-next", {"fault": 500}, 400),
        ("fail-refund", {"refund": "re_none"}, 400),
        ("clock", {"now": "soon"}, 400),
        ("webhooks", {"mode": "burn"}, 400),
        ("webhooks", {"deliver": True, "order": [3]}, 400),
    ],
)
async def test_a_wrong_switch_is_refused(
    standin: RunningStandin, switch: str, body: dict[str, Any], status: int
) -> None:
    """Bad input is a message, never a 500."""
    assert (await turn(standin, switch, **body))[0] == status


async def test_the_switches_need_the_key(standin: RunningStandin) -> None:
    """Issue 2 section 5"""
    assert (await turn(standin, "clock", key="sk_test_wrong", now=1))[0] == 401
    assert standin.app.standin.store.clock.now() > 1


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Issue 2 section 1: a restarted demo still knows its sessions, and its idempotency keys."""
    file = tmp_path / "var" / "stripe.json"
    keyed: Any = {"idempotency_key": "order-1"}
    async with running_standin(state_file=file) as standin, connected(standin) as client:
        session = await client.v1.checkout.sessions.create_async(params=wishes(), options=keyed)
        await standin.pay(session.id, iban="AT611904300234573201")
    async with running_standin(state_file=file) as standin, connected(standin) as client:
        again = await client.v1.checkout.sessions.create_async(params=wishes(), options=keyed)
        standin.finish_delayed(session.id)
        found = await client.v1.checkout.sessions.retrieve_async(
            session.id, params={"expand": ["line_items"]}
        )
        assert (again.id, found.payment_status) == (session.id, "paid")
        assert [path.name for path in file.parent.iterdir()] == ["stripe.json"]


async def test_it_runs_as_a_process_on_loopback_and_stops_cleanly() -> None:
    """Issue 2 section 1: Ctrl-C leaves no process behind."""
    command = [
        "-m",
        "shared.sandbox.stripe",
        "--port=0",
        "--secret-key=sk_test_a",
        "--webhook-secret=whsec_a",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().split()[-1]
    assert address.startswith("http://127.0.0.1:")
    http = stripe.HTTPXClient(timeout=5, allow_sync_methods=False)
    client = stripe.StripeClient("sk_test_a", base_addresses={"api": address}, http_client=http)
    assert (await client.v1.checkout.sessions.create_async(params=wishes())).url is not None
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    await http.close_async()
    assert (process.returncode, errors) == (0, b"")


async def test_it_needs_no_network(tmp_path: Path) -> None:
    """The app answers through its test client alone."""
    app = create_standin(
        secret_key="sk_test_a", webhook_url=None, webhook_secret="whsec_a", public_url="http://pay.test/"
    )
    answer = await app.test_client().get("/v1/balance", headers={"Authorization": "Bearer sk_test_a"})
    assert (answer.status_code, await answer.get_json()) == (
        200,
        {"object": "balance", "livemode": False, "available": [], "pending": []},
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/customers", 405),
        ("GET", "/v1/customers?limit=x", 400),
        ("GET", "/v1/customers?created[near]=1", 400),
        ("GET", "/v1/customers?created[gt]=soon", 400),
        ("GET", "/v1/customers?starting_after=cus_none", 400),
        ("GET", "/v1/customers?expand[]=data.friends", 200),
        ("GET", "/v1/customers/cus_none", 404),
        ("GET", "/v1/payment_pages/cs_none", 404),
        ("GET", "/nowhere", 404),
    ],
)
async def test_a_wrong_address_or_filter_is_told(
    standin: RunningStandin, method: str, path: str, status: int
) -> None:
    """Issue 2 section 5: Stripe's error JSON."""
    headers = {"Authorization": "Bearer sk_test_standin"}
    answer = await standin.app.test_client().open(path, method=method, headers=headers)
    assert answer.status_code == status


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet="abcem[]0=&%_line_itemsmetadata\x00é", max_size=60) | st.sampled_from(sorted(SESSION))
)
def test_no_form_breaks_the_reader(form: str) -> None:
    """Whatever is sent is either read or refused in Stripe's words."""
    for text in (form, f"{form}=1", f"{form}[]=1", f"{form}[a][0]=1", f"{form}=1&{form}[b]=2"):
        try:
            read = check(SESSION, parse_form(text))
        except StripeError:
            continue  # refused in its own words; anything else would fail this test
        assert set(read) <= {*SESSION, "expand"}


async def test_money_turns_over_http(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """What the demo's stand-in can be asked for, too: appeals, prevented disputes, fees that are kept, reserves."""
    first, second = [await client.v1.checkout.sessions.create_async(params=wishes()) for _ in range(2)]
    for session in (first, second):
        await turn(standin, "pay", session=session.id)
    assert (await turn(standin, "dispute-fees", kept=True)) == (200, {"kept": True})
    dispute = (await turn(standin, "dispute", session=first.id))[1]["id"]
    for switch, status in (
        ("lose-dispute", "lost"),
        ("appeal-dispute", "appeal_needs_response"),
        ("win-dispute", "won"),
        ("take-back-dispute", "lost"),
    ):
        assert (await turn(standin, switch, dispute=dispute))[1]["status"] == status
    assert (await turn(standin, "take-back-dispute", dispute=dispute))[0] == 400
    assert (await turn(standin, "dispute", session=second.id, prevented="perhaps"))[0] == 400
    _, prevented = await turn(standin, "dispute", session=second.id, prevented="block")
    assert (prevented["status"], prevented["balance_transactions"]) == ("prevented", [])
    _, moved = await turn(standin, "reserve", amount=100, currency="EUR")
    assert [row["amount"] for row in moved["balance_transactions"]] == [-100, 100]
