"""Identifiers: UUIDv7 for rows the world sees, human order numbers, door codes."""

import os
import secrets
import time
from collections.abc import Iterable
from uuid import UUID

# No 0/O, 1/I/L, U: what is read aloud or typed at a door must not be mistaken.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
ORDER_NUMBER_LENGTH = 8
DOOR_CODE_LENGTH = 18  # 18 × log2(30) = 88 bits; the design asks for at least 80


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7): ordered by time, so index inserts stay at one edge."""
    stamp = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (stamp << 80) | random
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def new_order_number() -> str:
    """A short number for people, such as `K7M2-9QXT`; uniqueness is the database's to enforce."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(ORDER_NUMBER_LENGTH))
    return f"{text[:4]}-{text[4:]}"


def new_door_code() -> str:
    """A code that opens the door; cannot be guessed and says nothing of the ticket's address."""
    return "".join(secrets.choice(ALPHABET) for _ in range(DOOR_CODE_LENGTH))


def parse_id(text: str) -> UUID | None:
    """A UUID from outside, or None where the text is not one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def parse_ids(texts: Iterable[str]) -> list[UUID]:
    """What of these texts from outside are UUIDs."""
    return [found for text in texts if (found := parse_id(text)) is not None]
