"""One daemon thread for calls that may hang in a driver, where nothing can end them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[Callable[[], Any], Future[Any]]


class LateError(Exception):
    """The work is not done in time, or not begun because earlier work is still going on: its text says which."""


class Worker:
    """Runs one piece of work at a time, each within `seconds`.

    Work that is late cannot be stopped: its result is thrown away, and until it is back whatever else is asked for
    fails at once. There is never a second thread, nothing queues, and the end of the process does not wait.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: Future[Any] | None = None
        self._late = False  # the last piece of work was not done in time

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. LateError."""
        if self._late and self._last and not self._last.done():
            raise LateError("an earlier call into the driver has not returned; none is made until it does")
        try:
            async with asyncio.timeout(self._seconds):
                if self._last and not self._last.done():  # whoever asked for it was cancelled
                    await asyncio.wait((asyncio.wrap_future(self._last),))
                self._late = False
                result: T = await asyncio.wrap_future(self._start(work))
                return result
        except TimeoutError:
            self._late = True
            raise LateError(f"the driver did not answer within {self._seconds:g} s") from None

    @property
    def started(self) -> bool:
        """True from the first piece of work on."""
        return self._thread is not None

    def stop(self) -> None:
        """Let the thread end when it has nothing left to do."""
        if self._thread:
            self._jobs.put(None)
            self._thread = None

    def _start(self, work: Callable[[], Any]) -> Future[Any]:
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        self._last = Future()
        self._jobs.put((work, self._last))
        return self._last


def _serve(jobs: SimpleQueue[Job | None]) -> None:
    while job := jobs.get():
        work, future = job
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
