"""Errors are JSON of one shape for whoever asks for JSON, anywhere (spec: D9)."""

import pytest

from tests.road import Road
from tests.shop import Shop
from tests.support import browser

JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/orders", 401, "SIGN_IN_REQUIRED"),
        ("POST", "/checkout", 401, "SIGN_IN_REQUIRED"),
        ("DELETE", "/cart", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_a_program_gets_json(shop: Shop, method: str, path: str, status: int, code: str) -> None:
    """`{"error", "details", "code"}`, with the status that the page would have; never a redirect to the sign-in."""
    answer = await browser(shop.app).open(path, method=method, headers=JSON)
    body = await answer.get_json()
    assert (answer.status_code, body["code"], sorted(body)) == (status, code, ["code", "details", "error"])


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html, application/json;q=0.9"]
)
async def test_a_browser_gets_a_page(shop: Shop, accept: str) -> None:
    """Whoever can show a page gets one."""
    answer = await browser(shop.app).get("/nowhere", headers={"Accept": accept})
    assert answer.mimetype == "text/html"


async def test_the_webhook_speaks_json(road: Road) -> None:
    """Stripe shows the answer to the developer: a page would be of no use to them."""
    answer = await road.send(b"{}", "t=1,v1=00")
    assert (answer.status_code, (await answer.get_json())["code"]) == (400, "SIGNATURE_INVALID")
