"""What every source of endpoints says, and how one that is asked from time to time becomes one that tells."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from exporter.clock import Clock
from exporter.errors import Reason, ScrapeError

MOST_ADDRESSES = 10_000  # of one source
MOST_BYTES = 1 << 24  # of one answer or one file
# A label that a source makes itself: whose the target's tokens are.
TENANT = "__tenant__"


@dataclass(frozen=True, slots=True)
class Address:
    """One server that was found."""

    host: str  # "host:port" as its source spells it: not checked
    labels: tuple[tuple[str, str], ...] = ()  # sorted by name


@dataclass(frozen=True, slots=True)
class Found:
    """All that a source knows now. `problem`: a part of it could not be read and is what it was before."""

    addresses: tuple[Address, ...]
    problem: ScrapeError | None = None
    whole: bool = True  # False: that part was never read, so whoever else was listed may still be there


class Source(Protocol):
    """One place where endpoints are listed."""

    def watch(self) -> AsyncGenerator[Found, None]:
        """The whole set, again whenever it may have changed. ScrapeError when it cannot be had; then watch again."""
        ...


class Asked:
    """A source that is asked at every interval."""

    def __init__(self, look: Callable[[], Awaitable[Found]], clock: Clock, interval_ns: int) -> None:
        self._look = look
        self._clock = clock
        self._interval_ns = interval_ns

    async def watch(self) -> AsyncGenerator[Found, None]:
        """Source."""
        while True:
            yield await self._look()
            await self._clock.sleep_until(self._clock.now().monotonic_ns + self._interval_ns)


def labels(**pairs: str) -> tuple[tuple[str, str], ...]:
    """As an address has them."""
    return tuple(sorted(pairs.items()))


def too_many(most: int = MOST_ADDRESSES) -> ScrapeError:
    """A set that nobody meant."""
    return ScrapeError(Reason.TOO_MANY_TARGETS, f"more than {most} targets")
