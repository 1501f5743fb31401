"""The whole shop on the Stripe stand-in: real bytes, a real signature, the SDK between them; for tests of messages."""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from uuid import UUID

from quart import Response
from sqlalchemy import func, select

from cart.models import WebhookEvent
from shared.database import Base
from shared.sandbox.stripe.running import RunningStandin
from shared.web import Tillgate
from tests.cart_world import World
from tests.support import Browser

OLD, NEW = "whsec_before_the_rotation", "whsec_standin"


def signed(body: bytes, secret: str = NEW, *, age: int = 0) -> str:
    """Stripe's scheme, written out from its documentation: HMAC-SHA256 over `t.body`, as `t=…,v1=…`."""
    stamp = int(time.time()) - age
    digest = hmac.new(secret.encode(), str(stamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


@dataclass
class Road:
    """The app on the stand-in with the real SDK between them, and a buyer on Stripe's page."""

    app: Tillgate
    standin: RunningStandin
    world: World
    buyer: Browser
    kind: UUID

    async def to_stripe(self, quantity: int = 2) -> tuple[UUID, str]:
        """From the cart to the payment page as a browser goes; ids of order and session."""
        await self.world.put(self.buyer.user_id, self.kind, quantity)
        answer = await self.buyer.post(
            "/checkout",
            form={"fingerprint": await self.world.seen(self.buyer.user_id)},
            headers={"Accept": "application/json", "Origin": self.app.settings.public_url},
        )
        made = await answer.get_json()
        return UUID(made["order_id"]), made["checkout_session_id"]

    def event(self, kind: str = "checkout.session.completed", **changes: object) -> bytes:
        """The bytes of the newest event of this type, as Stripe sends them."""
        return json.dumps(self.standin.events(kind)[-1] | changes).encode()

    async def send(
        self, body: bytes, signature: str | None = None, *, path: str = "/webhooks/stripe"
    ) -> Response:
        """POST it as Stripe does: no cookie, no origin."""
        headers = {"Stripe-Signature": signature if signature is not None else signed(body)}
        return await self.app.test_client().post(path, data=body, headers=headers)

    async def count(self, table: type[Base]) -> int:
        """Rows of a table."""
        async with self.app.database.sessions() as session:
            return await session.scalar(select(func.count()).select_from(table)) or 0

    async def row(self, event_id: str) -> WebhookEvent:
        """An event in the inbox."""
        async with self.app.database.sessions() as session:
            return await session.get_one(WebhookEvent, event_id)
