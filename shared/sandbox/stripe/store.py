"""What the stand-in remembers: objects of each Stripe account, in memory and, if wanted, in one JSON file."""

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from shared.sandbox.stripe.errors import missing
from shared.sandbox.stripe.params import Json

WITHDRAWN = "withdrawn"
"""What a book keeps hidden once the account's owner has taken our access away."""


class StandinClock:
    """The time by which sessions expire and delayed payments settle; tests stop it and move it."""

    def __init__(self) -> None:
        self._stopped: int | None = None

    def now(self) -> int:
        """Seconds since 1970, UTC."""
        return int(time.time()) if self._stopped is None else self._stopped

    def stop_at(self, moment: int | None) -> None:
        """Stand still at this second; None goes on with the machine's clock."""
        self._stopped = moment


class Book:
    """The objects of one Stripe account, by kind and id, oldest first; `account` is '' for the platform."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.tables: dict[str, dict[str, Json]] = {}
        self.hidden: dict[str, Json] = {}
        """By id, what Stripe keeps to itself: a session's lines and delayed outcome, a method's number, the
        payout that took a movement; and what the account settles in."""

    def put(self, made: Json) -> Json:
        """Keep a new object under its own kind."""
        self.tables.setdefault(made["object"], {})[made["id"]] = made
        return made

    def find(self, kind: str, object_id: str) -> Json | None:
        """The object itself, to be changed in place, or None."""
        return self.tables.get(kind, {}).get(object_id)

    def get(self, kind: str, object_id: str, param: str = "id") -> Json:
        """The object, or Stripe's error for a missing one: 404 for an id of the path, 400 for a parameter."""
        found = self.find(kind, object_id)
        if found is None:
            raise missing(kind, object_id, param, 404 if param == "id" else 400)
        return found

    def due(self, name: str, now: int) -> list[tuple[str, Json]]:
        """What was put off under this name and is due: the object's id, and what was noted with `at`."""
        noted = [(key, kept[name]) for key, kept in self.hidden.items() if name in kept]
        return [(key, note) for key, note in noted if note["at"] <= now]

    def all(self, kind: str) -> list[Json]:
        """Every object of a kind, newest first, as Stripe lists them."""
        return list(reversed(self.tables.get(kind, {}).values()))


class Store:
    """The books of all accounts, and the answers kept under idempotency keys."""

    def __init__(self, file: Path | None = None) -> None:
        self.clock = StandinClock()
        self.books: dict[str, Book] = {}
        self.answers: dict[str, Json] = {}
        self.changed = False
        self._file = file
        if file is not None and file.exists():
            self._load(json.loads(file.read_text(encoding="utf-8")))

    def book(self, account: str) -> Book:
        """The book of an account, opened at its first use."""
        return self.books.setdefault(account, Book(account))

    def locate(self, kind: str, object_id: str) -> tuple[Book, Json] | None:
        """An object of any account, for who knows only its id: the payment page, the switches."""
        for book in self.books.values():
            found = book.find(kind, object_id)
            if found is not None:
                return book, found
        return None

    def save(self) -> None:
        """Write the file, if there is one and something changed: whole, then renamed, so it is never half."""
        if self._file is None or not self.changed:
            return
        self.changed = False
        draft = self._file.with_name(self._file.name + ".new")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(self._dump()), encoding="utf-8")
        os.replace(draft, self._file)  # noqa: PTH105 - Path.replace would hide that this is the atomic step

    def _dump(self) -> Json:
        books = {name: {"tables": book.tables, "hidden": book.hidden} for name, book in self.books.items()}
        return {"books": books, "answers": self.answers}

    def _load(self, kept: Json) -> None:
        for name, content in kept["books"].items():
            book = self.book(name)
            book.tables, book.hidden = content["tables"], content["hidden"]
        self.answers = kept["answers"]


def new_id(prefix: str) -> str:
    """An id in Stripe's manner, such as `pi_…`."""
    return f"{prefix}_{secrets.token_hex(12)}"


def snapshot(made: Json) -> Any:
    """A copy that later changes do not reach, as an event carries it."""
    return json.loads(json.dumps(made))
