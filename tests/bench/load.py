"""The load, in a process of its own: `python -m tests.bench.load` takes a task as JSON on stdin, answers in JSON.

Its two kinds of work are `read_page` and `sell`; `ask` is how the rest of the benchmark calls them.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop

from shared.settings import ROOT
from tests.bench.http import Answer, Browser

CARD = {"email": "buyer@example.com", "number": "4242424242424242", "name": "", "method": "card"}
FINGERPRINT = re.compile(rb'name="fingerprint" value="(\w+)"')
REFUSED = (409, 422)


class Unexpected(Exception):
    """The shop answered something that no buyer should see."""


def ask(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run one task in a process of its own and return what it measured."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name],
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def read_page(*, port: int, path: str, cookies: Sequence[str], seconds: float) -> dict[str, float]:
    """Requests of one page, in all and per second, over one connection for each cookie ('' = a visitor)."""
    until = time.perf_counter() + seconds

    async def visit(cookie: str) -> int:
        number = 0
        async with Browser(port, cookie) as browser:
            while number == 0 or time.perf_counter() < until:
                expect(await browser.get(path), 200)
                number += 1
        return number

    started = time.perf_counter()
    numbers = await asyncio.gather(*(visit(cookie) for cookie in cookies))
    return {"number": sum(numbers), "per_second": sum(numbers) / (time.perf_counter() - started)}


async def sell(
    *,
    port: int,
    stripe_port: int,
    href: str,
    forms: Sequence[Mapping[str, str]],
    cookies: Sequence[str],
    at_once: int,
) -> dict[str, Any]:
    """Have each of `cookies` buy once, `at_once` at a time: how many bought, how many were told, how long it took."""
    waiting = list(enumerate(cookies))
    seconds: list[float] = []
    told = 0

    async def queue() -> None:
        nonlocal told
        async with Browser(stripe_port) as stripe:
            while waiting:
                number, cookie = waiting.pop()
                async with Browser(port, cookie) as shop:
                    began = time.perf_counter()
                    bought = await buy(shop, stripe, href, forms[number % len(forms)])
                    if bought:
                        seconds.append(time.perf_counter() - began)
                    else:
                        told += 1

    started = time.perf_counter()
    await asyncio.gather(*(queue() for _ in range(at_once)))
    return {
        "bought": len(seconds),
        "told": told,
        "took": time.perf_counter() - started,
        "each": sorted(seconds),
    }


async def buy(shop: Browser, stripe: Browser, href: str, form: Mapping[str, str]) -> bool:
    """From the event's page to the confirmed ticket as a browser without JavaScript goes; False where sold out."""
    expect(await shop.get(href), 200)
    added = await shop.post(f"{href}/buy", form)
    if added.status in REFUSED:
        return False
    expect(await shop.get(expect(added, 303).location), 200)
    fingerprint = FINGERPRINT.search(expect(await shop.get("/cart"), 200).body)
    if fingerprint is None:
        raise Unexpected("a cart without a checkout button")
    started = await shop.post("/checkout", {"fingerprint": fingerprint[1].decode()})
    if started.status in REFUSED:
        return False
    paid = expect(await stripe.post(expect(started, 303).location, CARD), 303)
    complete = expect(await shop.get(paid.location), 303)
    confirmation = expect(await shop.get(complete.location), 200)
    if b"Confirmed" not in confirmation.body:
        raise Unexpected("a paid order without confirmed tickets")
    return True


def expect(answer: Answer, status: int) -> Answer:
    """The answer, if it has this status."""
    if answer.status != status:
        raise Unexpected(
            f"{answer.status} in place of {status}: {answer.body[:2000].decode(errors='replace')}"
        )
    return answer


WORK = {"read_page": read_page, "sell": sell}


def main() -> None:
    """Do what stdin says."""
    task = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(WORK[task.pop("kind")](**task)), sys.stdout)


if __name__ == "__main__":
    main()
