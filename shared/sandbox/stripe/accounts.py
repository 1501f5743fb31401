"""Connected accounts: which ones the key may act for, and what each may do; /v1/account and /v1/accounts/{id}.

An account is known once it was opened, by a switch or at the start: any other name is refused, as Stripe does.
"""

from shared.sandbox.stripe import objects
from shared.sandbox.stripe.core import Call, Route, Standin
from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.store import WITHDRAWN

OWN = "acct_1StandinPlatform"
"""The account that the key belongs to; its book has no name."""
KIND = "account"
CARDS = "card_payments"
APPLICATION = {"id": "ca_standin", "object": "application", "name": "Tillgate"}


def open_account(standin: Standin, account_id: str) -> Json:
    """Make an account known, with all it needs to sell; one that is known already stays as it is."""
    call = standin.call("" if account_id == OWN else account_id)
    known = call.book.find(KIND, account_id)
    if known is None:
        known = call.book.put(objects.account(account_id, now=call.now))
        standin.store.changed = True
    return known


def acting_for(standin: Standin, account_id: str) -> str:
    """The book that a request's `Stripe-Account` names. Raises StripeError 403 where the key may not use it."""
    if account_id in ("", OWN):
        return ""
    book = standin.store.books.get(account_id)
    if book is None or book.find(KIND, account_id) is None or WITHDRAWN in book.hidden:
        raise _no_access(standin, account_id)
    return account_id


def _no_access(standin: Standin, account_id: str) -> StripeError:
    shown = f"{standin.secret_key[:7]}****{standin.secret_key[-4:]}"
    message = (
        f"The provided key '{shown}' does not have access to account '{account_id}' (or that account does not "
        "exist). Application access may have been revoked."
    )
    return StripeError(message, status=403, code="account_invalid", kept=False)


def restrict(standin: Standin, account_id: str, *, charges_enabled: bool) -> Json:
    """Say whether an account may be paid; both its events are sent where that changes."""
    call, account = _of(standin, account_id)
    if account["charges_enabled"] == charges_enabled:
        return account
    account["charges_enabled"] = charges_enabled
    account["requirements"]["disabled_reason"] = None if charges_enabled else "requirements.past_due"
    account["capabilities"][CARDS] = "active" if charges_enabled else "inactive"
    call.emit("account.updated", account, {"charges_enabled": not charges_enabled})
    capability = objects.capability(CARDS, account)
    call.emit("capability.updated", capability, {"status": "inactive" if charges_enabled else "active"})
    return account


def withdraw(standin: Standin, account_id: str) -> None:
    """The account's owner takes our access away: from now on every call is refused, and no event comes any more."""
    call, _ = _of(standin, account_id)
    call.emit("account.application.deauthorized", APPLICATION)
    call.book.hidden[WITHDRAWN] = {"since": call.now}


def restore(standin: Standin, account_id: str) -> Json:
    """Access is given again, and nothing is restricted any more."""
    call, _ = _of(standin, account_id)
    if call.book.hidden.pop(WITHDRAWN, None) is not None:
        call.emit("account.application.authorized", APPLICATION)
    return restrict(standin, account_id, charges_enabled=True)


def must_sell(call: Call) -> None:
    """Raises StripeError 400 where the account may not be paid."""
    account = call.book.find(KIND, call.book.account or OWN)
    if account is not None and not account["charges_enabled"]:
        whose = "This Connect account" if call.book.account else "Your account"
        message = (
            f"{whose} cannot currently make live charges. The `requirements.disabled_reason` property on the "
            "account will provide information about why this account is currently disabled. If you are a customer "
            "trying to make a purchase, please contact the owner of this site. Your transaction has not been "
            "processed."
        )
        raise StripeError(message, kept=False)


def _of(standin: Standin, account_id: str) -> tuple[Call, Json]:
    account = open_account(standin, account_id or OWN)
    return standin.call("" if account["id"] == OWN else account["id"]), account


def show_own(call: Call) -> Json:
    """GET /v1/account: the account that the request acts for."""
    return open_account(call.standin, call.book.account or OWN)


def show(call: Call, object_id: str) -> Json:
    """GET /v1/accounts/{id}; StripeError 403 for one that the key may not use."""
    return _of(call.standin, acting_for(call.standin, object_id))[1]


ROUTES = (Route("GET", "/v1/account", show_own), Route("GET", "/v1/accounts/<object_id>", show))
