"""A ticket's event as an iCalendar file (RFC 5545; its methods: RFC 5546). Used by the ticket's page.

A ticket that was cancelled gives a file that takes the event out of the calendar which has it. One that a dispute has
blocked changes nothing there: the evening takes place, and the ticket may be valid again (spec: H4).
"""

from datetime import UTC, datetime

from shared.contracts.dtos import TicketDTO
from shared.contracts.states import TicketState

LINE = 75  # octets in a line, RFC 5545 section 3.1


def method(ticket: TicketDTO) -> str:
    """PUBLISH, or CANCEL where ticket or event were cancelled; also part of the file's media type."""
    return "CANCEL" if ticket.entry_cancelled or ticket.state is TicketState.CANCELLED else "PUBLISH"


def calendar_file(ticket: TicketDTO, *, url: str, mail_address: str, now: datetime) -> str:
    """One event, times in UTC; the same ticket always has the same UID, so a second download changes nothing.

    SEQUENCE grows with the entry's revision, and once more where it is off, from where nothing leads back: a calendar
    takes the file with the highest number (RFC 5546, 2.1.4). `mail_address`: the shop's own, since every method wants
    an organizer.
    """
    off = method(ticket) == "CANCEL"
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Tillgate//Tickets//EN",
        f"METHOD:{method(ticket)}",
        "BEGIN:VEVENT",
        f"UID:{ticket.id}@tillgate",
        f"SEQUENCE:{ticket.revision + (1 if off else 0)}",
        f"DTSTAMP:{_stamp(now)}",
        f"DTSTART:{_stamp(ticket.starts_at)}",
        f"DTEND:{_stamp(ticket.ends_at)}",
        f"SUMMARY:{_text(ticket.entry_title)}",
        f"LOCATION:{_text(ticket.place)}",
        f"DESCRIPTION:{_text(f'{ticket.ticket_type_name}, {ticket.page_name}: {url}')}",
        f"URL:{url}",
        f"ORGANIZER;CN={_quoted(ticket.page_name)}:mailto:{mail_address}",
        f"STATUS:{'CANCELLED' if off else 'CONFIRMED'}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{_fold(line)}\r\n" for line in lines)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _quoted(value: str) -> str:
    """A parameter's value, which can hold neither a double quote nor a line break."""
    return '"' + " ".join(value.replace('"', "'").split()) + '"'


def _fold(line: str) -> str:
    """Break a long line between characters; the next part begins with a space."""
    parts, width = [""], 0
    for character in line:
        size = len(character.encode())
        if width + size > LINE:
            parts.append(" ")
            width = 1
        parts[-1] += character
        width += size
    return "\r\n".join(parts)
