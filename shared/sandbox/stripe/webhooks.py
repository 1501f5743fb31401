"""Sends events to the webhook endpoint: signed, in the background, again after a failure."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Literal

import httpx

from shared.sandbox.stripe.params import Json

RETRY_DELAYS = (0.2, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0)
"""Seconds before each further try. Stripe tries for three days with growing pauses; this is that in small."""

AT_ONCE = 16  # deliveries under way at a time, so that an endpoint that is down can't starve the API

Mode = Literal["deliver", "hold", "drop"]
MODES: tuple[Mode, ...] = ("deliver", "hold", "drop")


def signature(payload: bytes, secret: str, stamp: int) -> str:
    """The value of Stripe-Signature: HMAC-SHA256 over `stamp.payload` (Stripe: webhook signatures, v1)."""
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


class Deliveries:
    """Outgoing events. `hold` keeps them for `deliver_pending`, `drop` loses them, `copies` repeats them."""

    def __init__(
        self,
        url: str | None,
        secret: str,
        *,
        connect_secret: str | None = None,
        event_types: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self.secret, self.connect_secret = url, secret, connect_secret or secret
        self.event_types = frozenset(event_types)
        self.mode: Mode = "deliver"
        self.copies = 1
        self.pending: list[Json] = []
        self.statuses: list[tuple[str, int]] = []
        """Event id and answer of each try; 0 = no answer."""
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._lines = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, event: Json) -> None:
        """Take a new event: send it in the background, keep it or forget it, as the mode says."""
        if self.url is None or (self.event_types and event["type"] not in self.event_types):
            return
        event["pending_webhooks"] = 1
        if self.mode == "hold":
            self.pending.append(event)
        elif self.mode == "deliver":
            for _ in range(self.copies):
                self._start(event)

    async def deliver_pending(self, order: Sequence[int] | None = None) -> list[int]:
        """Send what was held, one after the other, in the given order of positions; the answers' statuses."""
        held, self.pending = self.pending, []
        chosen = held if order is None else [held[index] for index in order]
        return [await self.send(event) for event in chosen for _ in range(self.copies)]

    async def send(self, event: Json, *, age: int = 0) -> int:
        """Send one event once, signed as if `age` seconds ago; the answer's status, or 0 where none came."""
        payload = json.dumps(event, separators=(",", ":")).encode()
        secret = self.connect_secret if event.get("account") else self.secret
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, secret, int(time.time()) - age),
            "User-Agent": "Stripe/1.0 (stand-in)",
        }
        try:
            answer = await self._http().post(self.url or "", content=payload, headers=headers)
        except httpx.HTTPError:
            status = 0
        else:
            status = answer.status_code
        self.statuses.append((event["id"], status))
        if 200 <= status < 300:
            event["pending_webhooks"] = 0
        return status

    async def idle(self) -> None:
        """Wait until nothing is under way any more, retries included."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _start(self, event: Json) -> None:
        task = asyncio.get_running_loop().create_task(self._send_until_taken(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_until_taken(self, event: Json) -> None:
        for delay in (*RETRY_DELAYS, None):
            async with self._lines:
                status = await self.send(event)
            if 200 <= status < 300 or delay is None:
                return
            await asyncio.sleep(delay)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=20, transport=self._transport, trust_env=False)
        return self._client
