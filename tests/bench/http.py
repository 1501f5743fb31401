"""A small HTTP/1.1 client over one kept connection for load.py: a full client would cost more than the shop."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlencode

IDLE_SECONDS = 3.0
"""Hypercorn closes a connection that was idle for five."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.headers.get("location", "")


class Browser:
    """One visitor's connection to one server, with a cookie; sends what a browser sends with a form."""

    def __init__(self, port: int, cookie: str = "", *, forwarded_for: str = "") -> None:
        self._port = port
        self._origin = f"http://127.0.0.1:{port}"
        self._always = f"Host: 127.0.0.1:{port}\r\nAccept: text/html\r\n"
        if cookie:
            self._always += f"Cookie: {cookie}\r\n"
        if forwarded_for:  # as a proxy would say where this visitor is
            self._always += f"X-Forwarded-For: {forwarded_for}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_at = 0.0

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, path: str) -> Answer:
        """GET; `path` may be a whole address of this server."""
        return await self._ask(f"GET {self._path(path)} HTTP/1.1\r\n{self._always}\r\n".encode())

    async def post(self, path: str, form: Mapping[str, str | Sequence[str]]) -> Answer:
        """POST a form; a field may have several values."""
        body = urlencode(form, doseq=True)
        head = (
            f"POST {self._path(path)} HTTP/1.1\r\n{self._always}Origin: {self._origin}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await self._ask(f"{head}{body}".encode())

    async def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):  # the other end may be gone already
                await writer.wait_closed()

    def _path(self, address: str) -> str:
        return address.removeprefix(self._origin) or "/"

    async def _ask(self, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if loop.time() - self._used_at > IDLE_SECONDS:
            await self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        answer = await _read(reader)
        self._used_at = loop.time()
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split(" ", 2)[1]), headers, body)
