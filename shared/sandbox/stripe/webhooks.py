"""Sends events to the webhook endpoints: signed, in the background, again after a failure."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import httpx

from shared.sandbox.stripe.params import Json

RETRY_DELAYS = (0.2, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0)
"""Seconds before each further try. Stripe tries for three days with growing pauses; this is that in small."""

AT_ONCE = 16  # deliveries under way at a time, so that an endpoint that is down can't starve the API
OVERTAKEN = 0.5  # seconds that an event may be held back so that later ones arrive before it

Mode = Literal["deliver", "hold", "drop"]
MODES: tuple[Mode, ...] = ("deliver", "hold", "drop")


def signature(payload: bytes, secret: str, stamp: int) -> str:
    """The value of Stripe-Signature: HMAC-SHA256 over `stamp.payload` (Stripe: webhook signatures, v1)."""
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


@dataclass(slots=True)
class Target:
    """An endpoint as the deliveries need it; a secret of None says that it does not hear of such accounts."""

    url: str
    secret: str | None
    connect_secret: str | None
    event_types: tuple[str, ...] = ("*",)
    enabled: bool = True

    def secret_for(self, event: Json) -> str | None:
        """What signs this event, or None where the endpoint does not want it."""
        wanted = any(fnmatchcase(event["type"], pattern) for pattern in self.event_types)
        if not self.enabled or not wanted:
            return None
        return self.connect_secret if event.get("account") else self.secret


@dataclass(frozen=True, slots=True)
class Try:
    """One delivery and its answer; status 0 = no answer. `at` in seconds since 1970, UTC."""

    at: float
    event: str
    type: str
    url: str
    status: int


@dataclass(slots=True)
class WebhookChaos:
    """Probabilities of what happens to each event; the same seed throws the same dice."""

    seed: int
    drop: float = 0.0
    repeat: float = 0.0
    copies: int = 2
    """How often a repeated event comes."""
    delay: float = 0.0
    seconds: float = 5.0
    """How late a delayed event may be."""
    reorder: float = 0.0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - dice for a test, to be thrown again

    def waits(self) -> list[float]:
        """For each copy of an event that is to be sent, the seconds to wait before it."""
        if self._dice.random() < self.drop:
            return []
        number = self.copies if self._dice.random() < self.repeat else 1
        return [self._wait() for _ in range(number)]

    def _wait(self) -> float:
        if self._dice.random() < self.delay:
            return self._dice.uniform(0, self.seconds)
        return self._dice.uniform(0, OVERTAKEN) if self._dice.random() < self.reorder else 0.0


class Deliveries:
    """Outgoing events. `hold` keeps them for `deliver_pending`, `drop` loses them, `copies` repeats them."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.targets: dict[str, Target] = {}
        """By endpoint id, the one that the stand-in was started with among them."""
        self.mode: Mode = "deliver"
        self.copies = 1
        self.chaos: WebhookChaos | None = None
        self.pending: list[Json] = []
        self.tries: list[Try] = []
        self._untaken: dict[str, set[str]] = {}
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._lines = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def statuses(self) -> list[tuple[str, int]]:
        """Event id and answer of each try; 0 = no answer."""
        return [(one.event, one.status) for one in self.tries]

    def offer(self, event: Json) -> None:
        """Take a new event: send it in the background, keep it or forget it, as the mode says."""
        wanting = self._wanting(event)
        if not wanting:
            return
        self._untaken[event["id"]] = set(wanting)
        event["pending_webhooks"] = len(wanting)
        if self.mode == "hold":
            self.pending.append(event)
        elif self.mode == "deliver":
            waits = self.chaos.waits() if self.chaos else [0.0] * self.copies
            for wait in waits:
                self._start(event, wait)

    async def deliver_pending(self, order: Sequence[int] | None = None) -> list[int]:
        """Send what was held, one after the other, in the given order of positions; the answers' statuses."""
        held, self.pending = self.pending, []
        chosen = held if order is None else [held[index] for index in order]
        return [
            await self.send(event, target)
            for event in chosen
            for _ in range(self.copies)
            for target in self._wanting(event)
        ]

    async def redeliver(self, events: Iterable[Json]) -> list[int]:
        """Send these events once more, several at a time; the answers' statuses."""
        return await asyncio.gather(
            *(self._in_line(event, target) for event in events for target in self._wanting(event))
        )

    async def send(self, event: Json, target_id: str | None = None, *, age: int = 0) -> int:
        """Send one event once, signed as if `age` seconds ago; the answer's status, or 0 where none came.

        Without a target it goes to the first endpoint, the one that the stand-in was started with.
        """
        target_id = target_id or next(iter(self.targets))
        target = self.targets[target_id]
        payload = json.dumps(event, separators=(",", ":")).encode()
        secret = target.secret_for(event) or target.secret or ""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, secret, int(time.time()) - age),
            "User-Agent": "Stripe/1.0 (stand-in)",
        }
        try:
            answer = await self._http().post(target.url, content=payload, headers=headers)
        except httpx.HTTPError:
            status = 0
        else:
            status = answer.status_code
        self.tries.append(Try(time.time(), event["id"], event["type"], target.url, status))
        if 200 <= status < 300:
            self._taken(event, target_id)
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

    def _wanting(self, event: Json) -> list[str]:
        return [name for name, target in self.targets.items() if target.secret_for(event) is not None]

    def _taken(self, event: Json, target_id: str) -> None:
        left = self._untaken.get(event["id"], set())
        left.discard(target_id)
        event["pending_webhooks"] = len(left)
        if not left:
            self._untaken.pop(event["id"], None)

    def _start(self, event: Json, wait: float) -> None:
        for target_id in self._wanting(event):
            task = asyncio.get_running_loop().create_task(self._send_until_taken(event, target_id, wait))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_until_taken(self, event: Json, target_id: str, wait: float) -> None:
        for delay in (wait, *RETRY_DELAYS):
            await asyncio.sleep(delay)
            if target_id not in self.targets or not self.targets[target_id].enabled:
                return  # deleted or disabled meanwhile
            if 200 <= await self._in_line(event, target_id) < 300:
                return

    async def _in_line(self, event: Json, target_id: str) -> int:
        async with self._lines:
            return await self.send(event, target_id)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=20, transport=self._transport, trust_env=False)
        return self._client
