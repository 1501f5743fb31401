"""Answers kept under Idempotency-Key: the same request again gets the same answer, another one is refused."""

import hashlib
from dataclasses import dataclass

from shared.sandbox.stripe.errors import StripeError, invalid
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import Store

KEPT_FOR = 24 * 3600  # seconds; Stripe keeps keys at least 24 hours
LONGEST_KEY = 255  # characters


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A POST with an idempotency key, told apart by account, key and everything it asks."""

    name: str
    key: str
    fingerprint: str

    def replay(self, store: Store) -> Json | None:
        """The kept answer, or None. Raises StripeError 400 where the key was used for another request."""
        kept = store.answers.get(self.name)
        if kept is None or kept["at"] + KEPT_FOR <= store.clock.now():
            return None
        if kept["fingerprint"] != self.fingerprint:
            raise StripeError(
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                f"with. Try using a key other than '{self.key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        return kept

    def keep(self, store: Store, status: int, body: str) -> None:
        """Keep this answer, whatever it says."""
        store.answers[self.name] = {
            "at": store.clock.now(),
            "fingerprint": self.fingerprint,
            "status": status,
            "body": body,
        }


def keyed_request(account: str, key: str | None, method: str, path: str, form: str) -> KeyedRequest | None:
    """None where the request has no key or needs none. Raises StripeError 400 for a key that is too long."""
    if not key or method != "POST":
        return None
    if len(key) > LONGEST_KEY:
        raise invalid(f"Idempotency keys may have at most {LONGEST_KEY} characters.")
    digest = hashlib.sha256(f"{path}\n{form}".encode()).hexdigest()
    return KeyedRequest(f"{account}/{key}", key, digest)
