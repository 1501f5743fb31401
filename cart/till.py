"""What the processes of the cart work with: the calendar, Stripe, and the shop's own address."""

from dataclasses import dataclass

from shared.contracts.protocols import CalendarService, Payments


@dataclass(frozen=True, slots=True)
class Till:
    """Passed as one, so that a process names only what differs from call to call."""

    calendar: CalendarService
    payments: Payments
    public_url: str
    """For return addresses and links in mails; no trailing slash."""
