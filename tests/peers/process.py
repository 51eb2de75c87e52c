"""Another program beside the test: started, read, ended; only ever the process that was started here."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

GRACE = 15.0  # seconds a program has to end after it was asked to


@dataclass(frozen=True, slots=True)
class Program:
    """A running program whose output goes to a file."""

    process: Process
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    def output(self) -> str:
        """Everything it has said so far, on both streams."""
        return self.log.read_text(errors="replace")

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code; one that does not heed SIGTERM is killed, and that is a failure."""
        if not self.ended:
            self.process.send_signal(how)
        try:
            async with asyncio.timeout(GRACE):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"still running {GRACE} s after {how.name}\n{self.output()}") from None


@asynccontextmanager
async def program(
    command: Sequence[str], log: Path, *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Run `command` until the block is left, with these variables besides our own."""
    variables = os.environ | (environment or {})
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=variables, stdin=asyncio.subprocess.DEVNULL, stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    running = Program(process, log)
    try:
        yield running
    finally:
        await running.end()
