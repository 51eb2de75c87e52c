"""The event loop of this process, which says how long it was held, and a collector of cycles that does not hold it.

A turn of the loop is what it does between two looks at its sockets and timers. It counts from when the first timer in
it was due: that covers what waits for a thread that will not let go of the interpreter.

Python's collector looks at every object there is, whenever many are new: tenths of a second where a thousand targets
are watched. Nearly all of them live as long as the config does and are in no cycle. So by itself it looks only at the
youngest here. Once per tick `settle` looks how much there is: if that has grown by a quarter, it is collected, and what
is still alive then is not looked at again (gc.freeze). Frozen objects are freed all the same when the last reference to
them goes; those of a cycle are not, and they are few: nothing is frozen where nothing but garbage has grown.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds
COARSE = 0.001  # seconds by which a look at the sockets may last longer than asked: it counts in whole milliseconds
# gc.set_threshold: by itself it looks only at the youngest, and only where they are more than the page of a gateway
# with ten thousand tenants, to look at which takes 25 ms.
YOUNG = (1_000_000, 1_000_000, 1_000_000)
WARM = 4  # calls in which all that is new has come to stay: not looked through, which takes tenths of a second
SOME = 50_000  # blocks of memory, a few MB, that are not worth a look
# A thread at work is asked for the interpreter after so long (Python's own: 5 ms). The loop lets go of it at every look
# at a socket, so a group of targets would wait that long as many times.
SWITCH_SECONDS = 0.0002


class Lag:
    """How long the turns of one loop took: a histogram."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)  # by bound, the last without one; not added up
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Count one turn."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def loop(self) -> asyncio.SelectorEventLoop:
        """A new loop that is measured."""
        return asyncio.SelectorEventLoop(Watched(self))


class Watched(selectors.DefaultSelector):
    """What a loop waits with. Between two waits is a turn."""

    def __init__(self, lag: Lag, clock: Callable[[], float] = perf_counter) -> None:
        super().__init__()
        self._lag = lag
        self._clock = clock
        self._due: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the selector does it."""
        asked = self._clock()
        if self._due is not None:
            self._lag.note(asked - self._due)
        found = super().select(timeout)
        now = self._clock()
        self._due = now if timeout is None else min(now, asked + max(0.0, timeout) + COARSE)
        return found


class Upkeep:
    """The loop's measure, and a collector that does not hold it."""

    def __init__(self) -> None:
        self.lag = Lag()
        self._limit = 0  # blocks of memory up to which nothing is done
        self._calls = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the block is left, Python's collector looks at little by itself."""
        before = gc.get_threshold(), sys.getswitchinterval()
        gc.collect()
        gc.freeze()  # what was imported
        gc.set_threshold(*YOUNG)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            yield
        finally:
            gc.set_threshold(*before[0])
            gc.unfreeze()
            sys.setswitchinterval(before[1])

    def settle(self) -> None:
        """To be called now and then, from any thread. Holds the interpreter for long only when much is new."""
        self._calls += 1
        if sys.getallocatedblocks() > self._limit:
            if self._calls > WARM:
                gc.collect()
            left = sys.getallocatedblocks()
            if left > self._limit:
                gc.freeze()
                self._limit = left + left // 4 + SOME


def run(main: Callable[[Upkeep], Coroutine[Any, Any, None]]) -> None:
    """asyncio.run, on such a loop and beside such a collector."""
    upkeep = Upkeep()
    with upkeep.at_work(), asyncio.Runner(loop_factory=upkeep.lag.loop) as runner:
        runner.run(main(upkeep))
