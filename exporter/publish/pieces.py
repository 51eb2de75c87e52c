"""A large body, sent piece by piece: what a client has not read yet is the answer all share, not a copy of its own."""

from __future__ import annotations

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

PIECE = 1 << 18  # bytes; that much may lie in memory for a client that does not read


class Pieces(Payload):
    """The bytes as a body. asyncio copies what the system does not take at once, so it never gets much at once."""

    _value: bytes
    _autoclose = True  # there is nothing to close

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it, at the pace at which it is read."""
        left = memoryview(self._value)
        while left:
            await writer.write(left[:PIECE])
            left = left[PIECE:]
