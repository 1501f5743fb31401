"""Switches for what happens to money after it was paid: refunds by hand, disputes, payouts, settlement."""

from collections.abc import Awaitable, Callable

from shared.sandbox.stripe import balance, disputes, payouts, refunds
from shared.sandbox.stripe.core import Standin
from shared.sandbox.stripe.errors import invalid
from shared.sandbox.stripe.params import Json
from shared.sandbox.stripe.wishes import charge_of, located, number, wish

Switch = Callable[[Standin, Json], Awaitable[Json]]

NO_ACCOUNT = ("account_closed", "The bank account has been closed.")


def refund_by_hand(standin: Standin, of: str, amount: int | None = None) -> Json:
    """Refund as a person does in Stripe's dashboard: without metadata. Raises StripeError 400."""
    call, charge = charge_of(standin, of)
    params = {"charge": charge["id"]} | ({} if amount is None else {"amount": amount})
    standin.store.changed = True
    return refunds.create(standin.call(call.book.account, params))


def _of(wishes: Json) -> str:
    """The `session`, `payment_intent` or `charge` that is meant."""
    named = [wishes[name] for name in ("session", "payment_intent", "charge") if name in wishes]
    if len(named) != 1 or not isinstance(named[0], str):
        raise invalid("Give one of: session, payment_intent, charge.", "charge")
    return named[0]


def _amount(wishes: Json) -> int | None:
    return wish(wishes, "amount", int) if "amount" in wishes else None


async def booking(standin: Standin, wishes: Json) -> Json:
    """`pending`: delayed payments are in the balance while they wait; `late`: payments are booked seconds later."""
    standin.book_pending = wish(wishes, "pending", bool, False)
    standin.book_late = wish(wishes, "late", bool, False)
    return {"pending": standin.book_pending, "late": standin.book_late}


async def refund(standin: Standin, wishes: Json) -> Json:
    """`session`, `payment_intent` or `charge`, and if wanted `amount`: a refund by hand in the dashboard."""
    return refund_by_hand(standin, _of(wishes), _amount(wishes))


async def hold_refunds(standin: Standin, wishes: Json) -> Json:
    """`on`: new refunds stay pending until finish-refund or fail-refund."""
    standin.refunds_pending = wish(wishes, "on", bool, True)
    return {"on": standin.refunds_pending}


async def finish_refund(standin: Standin, wishes: Json) -> Json:
    """`refund`: a pending one succeeds."""
    call, found = located(standin, "refund", wish(wishes, "refund", str), "refund")
    refunds.finish(call, found)
    return found


async def fail_refund(standin: Standin, wishes: Json) -> Json:
    """`refund`, and if wanted `reason`: the buyer's bank sends the refund back."""
    call, found = located(standin, "refund", wish(wishes, "refund", str), "refund")
    refunds.fail(call, found, wish(wishes, "reason", str, "lost_or_stolen_card"))
    return found


async def dispute(standin: Standin, wishes: Json) -> Json:
    """`session`, `payment_intent` or `charge`, and if wanted `amount`, `reason`, `inquiry`; or `prevented`.

    `prevented` is "block", where nothing was taken, or "resolution", where the buyer got the money.
    """
    call, charge = charge_of(standin, _of(wishes))
    prevented = wish(wishes, "prevented", str, "")
    if prevented not in ("", "block", "resolution"):
        raise invalid("prevented must be block or resolution.", "prevented")
    if prevented:
        resolved = prevented == "resolution"
        return disputes.prevent(call, charge, amount=_amount(wishes), resolved=resolved)
    return disputes.open_dispute(
        call,
        charge,
        amount=_amount(wishes),
        reason=wish(wishes, "reason", str, "fraudulent"),
        inquiry=wish(wishes, "inquiry", bool, False),
    )


async def win_dispute(standin: Standin, wishes: Json) -> Json:
    """`dispute`: decided for the seller; an inquiry ends as warning_closed."""
    call, found = located(standin, "dispute", wish(wishes, "dispute", str), "dispute")
    disputes.win(call, found)
    return found


async def lose_dispute(standin: Standin, wishes: Json) -> Json:
    """`dispute`: decided for the buyer; an inquiry ends as warning_closed."""
    call, found = located(standin, "dispute", wish(wishes, "dispute", str), "dispute")
    disputes.lose(call, found)
    return found


async def escalate_dispute(standin: Standin, wishes: Json) -> Json:
    """`dispute`: an inquiry, closed or not, becomes a dispute, and the money goes."""
    call, found = located(standin, "dispute", wish(wishes, "dispute", str), "dispute")
    disputes.escalate(call, found)
    return found


async def appeal_dispute(standin: Standin, wishes: Json) -> Json:
    """`dispute`: a lost one is to be decided once more."""
    call, found = located(standin, "dispute", wish(wishes, "dispute", str), "dispute")
    disputes.appeal(call, found)
    return found


async def take_back_dispute(standin: Standin, wishes: Json) -> Json:
    """`dispute`: a won one is lost after all, and the money goes again."""
    call, found = located(standin, "dispute", wish(wishes, "dispute", str), "dispute")
    disputes.lose_after_all(call, found)
    return found


async def dispute_fees(standin: Standin, wishes: Json) -> Json:
    """`kept`: from now on Stripe keeps its fee of disputes that are won."""
    standin.keep_dispute_fees = wish(wishes, "kept", bool)
    return {"kept": standin.keep_dispute_fees}


async def reserve(standin: Standin, wishes: Json) -> Json:
    """`amount` and `currency`: so much is held back, or (negative) given back; `account` if connected."""
    call = standin.call(wish(wishes, "account", str, ""))
    amount, currency = wish(wishes, "amount", int), wish(wishes, "currency", str).lower()
    standin.store.changed = True
    return {"balance_transactions": balance.hold_back(call, amount, currency)}


async def pay_out(standin: Standin, wishes: Json) -> Json:
    """An automatic payout per currency of what is available, or of `everything`; `account` if connected."""
    call = standin.call(wish(wishes, "account", str, ""))
    return {"payouts": payouts.pay_out(call, everything=wish(wishes, "everything", bool, False))}


async def finish_payout(standin: Standin, wishes: Json) -> Json:
    """`payout`: it arrives now."""
    call, found = located(standin, "payout", wish(wishes, "payout", str), "payout")
    payouts.arrive(call, found)
    return found


async def fail_payout(standin: Standin, wishes: Json) -> Json:
    """`payout`, and if wanted `code` and `message`: the bank sends it back."""
    call, found = located(standin, "payout", wish(wishes, "payout", str), "payout")
    code, message = wish(wishes, "code", str, NO_ACCOUNT[0]), wish(wishes, "message", str, NO_ACCOUNT[1])
    payouts.fail(call, found, code, message)
    return found


async def settlement(standin: Standin, wishes: Json) -> Json:
    """`currency` and `rate`: what the account settles in from now on; no currency: as charged."""
    call = standin.call(wish(wishes, "account", str, ""))
    currency, rate = wish(wishes, "currency", str, "") or None, number(wishes, "rate", 1)
    if rate <= 0:
        raise invalid("rate must be more than 0.", "rate")
    balance.settle_in(call, currency, rate)
    return {"currency": currency, "rate": rate}


SWITCHES: dict[str, Switch] = {
    "booking": booking,
    "refund": refund,
    "hold-refunds": hold_refunds,
    "finish-refund": finish_refund,
    "fail-refund": fail_refund,
    "dispute": dispute,
    "win-dispute": win_dispute,
    "lose-dispute": lose_dispute,
    "escalate-dispute": escalate_dispute,
    "appeal-dispute": appeal_dispute,
    "take-back-dispute": take_back_dispute,
    "dispute-fees": dispute_fees,
    "reserve": reserve,
    "pay-out": pay_out,
    "finish-payout": finish_payout,
    "fail-payout": fail_payout,
    "settlement": settlement,
}
