"""Mails as files in a folder: what the SMTP side writes and the web side reads."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, ready to be shown; `html` is empty where the mail has none."""

    id: str
    at: datetime
    sender: str
    to: str
    subject: str
    text: str
    html: str


class Mailbox:
    """All mails of a folder; their names are ordered by time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes) -> str:
        """Keep a mail as it came; returns its id."""
        name = str(time.time_ns())  # sorts as it came, also within a millisecond
        half = self._folder / f"{name}.half"
        half.write_bytes(content)
        half.rename(self._folder / f"{name}.eml")  # a reader never sees half a mail
        return name

    def newest(self, limit: int = 200) -> list[Mail]:
        """The latest mails, newest first."""
        return [_read(path) for path in sorted(self._folder.glob("*.eml"), reverse=True)[:limit]]

    def find(self, name: str) -> Mail | None:
        """One mail by its id."""
        path = self._folder / f"{name}.eml"
        return _read(path) if name.isdecimal() and path.exists() else None

    # aiosmtpd calls its handler by this name with these arguments
    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take one mail from the SMTP side."""
        self.add(envelope.content)
        return "250 Kept"


def _read(path: Path) -> Mail:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    return Mail(
        id=path.stem,
        at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        sender=str(message["from"] or ""),
        to=str(message["to"] or ""),
        subject=str(message["subject"] or "(no subject)"),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
