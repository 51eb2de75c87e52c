"""The one funnel through which NVML is called: pynvml, loaded when it is first needed.

Facts about NVML are from https://docs.nvidia.com/deploy/nvml-api/ unless another source is named.
"""

from __future__ import annotations

from contextlib import suppress
from enum import IntEnum
from typing import Any

# What a device is asked: the function, then its arguments after the handle.
Question = tuple[Any, ...]


class Code(IntEnum):
    """The nvmlReturn_t that mean something here."""

    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    DRIVER_NOT_LOADED = 9
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    ARGUMENT_VERSION_MISMATCH = 25
    UNKNOWN = 999


# Nothing works any more until NVML is initialised anew.
OVER = frozenset({Code.UNINITIALIZED, Code.DRIVER_NOT_LOADED, Code.LIB_RM_VERSION_MISMATCH})
# The device has fallen off the bus, or wants a reset: nothing it says counts.
LOST = frozenset({Code.GPU_IS_LOST, Code.RESET_REQUIRED})
# The answer will be the same until NVML is initialised anew.
REFUSED = frozenset({Code.NOT_SUPPORTED, Code.NO_PERMISSION, Code.FUNCTION_NOT_FOUND, Code.ARGUMENT_VERSION_MISMATCH})


class NvmlError(Exception):
    """One call failed. Its text names the call."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Library:
    """pynvml and libnvidia-ml.so.1 behind it. For one thread only."""

    def __init__(self) -> None:
        self._pynvml: Any = None

    def open(self) -> None:
        """Load what is not loaded yet and initialise. pynvml looks for the library again as long as it has none."""
        if self._pynvml is None:
            import pynvml  # noqa: PLC0415 - 5 MB that only those who read GPUs pay

            self._pynvml = pynvml
        self.call("nvmlInitWithFlags", 0)

    def close(self) -> None:
        """Shut down; the library itself stays loaded, as pynvml has no way to let go of it."""
        with suppress(NvmlError):
            self.call("nvmlShutdown")

    def call(self, function: str, *arguments: Any) -> Any:
        """What pynvml's function of that name returns. NvmlError."""
        try:
            return getattr(self._pynvml, function)(*arguments)
        except self._pynvml.NVMLError as error:
            name = type(error).__name__.removeprefix("NVMLError_")
            raise NvmlError(error.value, f"{function} failed: {name} ({error.value})") from None
        except UnicodeDecodeError:  # pynvml decodes names and UUIDs
            raise NvmlError(Code.UNKNOWN, f"{function} gave text that is not UTF-8") from None

    def new(self, structure: str) -> Any:
        """pynvml's structure of that name, all zeros."""
        return getattr(self._pynvml, structure)()


class Handle:
    """One device, or one MIG instance. What it refused once it is not asked again."""

    def __init__(self, library: Library, value: Any) -> None:
        self._library = library
        self._refused: set[Question] = set()
        self.value = value  # of an instance NVML may give another one each time

    def ask(self, question: Question, *more: Any) -> Any:
        """The answer; None where there is none. `more` are arguments that change. NvmlError: OVER and LOST only."""
        if question in self._refused:
            return None
        function, *arguments = question
        try:
            return self._library.call(function, self.value, *arguments, *more)
        except NvmlError as error:
            if error.code in OVER | LOST:
                raise
            if error.code in REFUSED:
                self._refused.add(question)
            return None

    def first(self, questions: tuple[Question, ...]) -> Any:
        """The first answer that there is, or None."""
        return next((answer for question in questions if (answer := self.ask(question)) is not None), None)

    def forget(self) -> None:
        """Ask everything again: the device has become another one, with or without MIG."""
        self._refused.clear()
