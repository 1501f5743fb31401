"""A ticket's event as an iCalendar file (RFC 5545). Used by the ticket's page."""

from datetime import UTC, datetime

from shared.contracts.dtos import TicketDTO
from shared.contracts.states import TicketState

LINE = 75  # octets in a line, RFC 5545 section 3.1


def calendar_file(ticket: TicketDTO, *, url: str, now: datetime) -> str:
    """One event, times in UTC; the same ticket always has the same UID, so a second download changes nothing."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Tillgate//Tickets//EN",
        "BEGIN:VEVENT",
        f"UID:{ticket.id}@tillgate",
        f"DTSTAMP:{_stamp(now)}",
        f"DTSTART:{_stamp(ticket.starts_at)}",
        f"DTEND:{_stamp(ticket.ends_at)}",
        f"SUMMARY:{_text(ticket.entry_title)}",
        f"LOCATION:{_text(ticket.place)}",
        f"DESCRIPTION:{_text(f'{ticket.ticket_type_name}, {ticket.page_name}: {url}')}",
        f"URL:{url}",
        f"STATUS:{'CANCELLED' if _is_off(ticket) else 'CONFIRMED'}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{_fold(line)}\r\n" for line in lines)


def _is_off(ticket: TicketDTO) -> bool:
    return ticket.entry_cancelled or ticket.state is TicketState.CANCELLED


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


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
