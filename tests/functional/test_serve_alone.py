"""`python -m shared serve --only cart` as a developer starts it, up to the payment page (spec: A4)."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.settings import ROOT
from tests.eventually import PATIENCE, eventually
from tests.ports import four_free_ports


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the file of what it writes."""
    bind, log = f"127.0.0.1:{four_free_ports()}", tmp_path / "log"
    env = {"TILLGATE_ENV": "development", "DATABASE_URL": database_url, "TILLGATE_VAR": str(tmp_path)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "shared", "serve", "--only", "cart", "--bind", bind],
            env=env,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield f"http://{bind}", log
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0


async def test_cart_alone_can_be_paid(shop: tuple[str, Path]) -> None:
    """Its checkout leads to a payment page, without keys and without the demo (spec: A4)."""
    address, log = shop
    async with httpx.AsyncClient(base_url=address, headers={"Origin": address}, timeout=PATIENCE) as browser:

        async def is_up() -> bool:
            try:
                return (await browser.get("/health/ready")).is_success
            except httpx.TransportError:
                return False

        await eventually(is_up)
        link = re.search(rf"{address}/sign-in/\S+", log.read_text())
        assert link is not None
        assert (await browser.post(link[0])).headers["Location"] == "/cart"
        cart = (await browser.get("/cart")).text
        form = re.search(r'name="fingerprint" value="(\w+)"', cart[cart.index("<h2>Total") :])
        assert form is not None
        answer = await browser.post(
            "/checkout", data={"fingerprint": form[1], "page": ""}, headers={"Accept": "application/json"}
        )
        payment_page = answer.json()["url"]
        assert urlsplit(payment_page).hostname == "127.0.0.1"
        assert (await browser.get(payment_page)).is_success
