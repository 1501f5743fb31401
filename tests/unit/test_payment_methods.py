"""Methods that a session leaves out: instructions never pay, and a debit must be sure before the doors open."""

from datetime import UTC, datetime, timedelta

from shared.payment_methods import DEBITS, INSTRUCTIONS, excluded_methods

NOW = datetime(2027, 3, 1, tzinfo=UTC)


def test_instructions_are_never_offered() -> None:
    """Issue 8 section 5: nothing is on its way when such a session is complete."""
    for debits in (True, False):
        assert set(INSTRUCTIONS) <= set(excluded_methods(debits=debits, starts_at=None, now=NOW))


def test_a_debit_must_be_there_before_the_event() -> None:
    """Issue 8 section 5: none when the event is nearer than its days."""
    for days, offered in ((5, set()), (6, {"us_bank_account"}), (7, {"us_bank_account", "sepa_debit"})):
        out = excluded_methods(debits=True, starts_at=NOW + timedelta(days=days), now=NOW)
        assert set(DEBITS) - set(out) == offered, days
    assert not set(DEBITS) & set(excluded_methods(debits=True, starts_at=NOW + timedelta(days=14), now=NOW))
    assert set(DEBITS) <= set(excluded_methods(debits=False, starts_at=NOW + timedelta(days=90), now=NOW))
