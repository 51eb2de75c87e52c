"""The base of every mapping of the config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from exporter.config.types import Mistake, refuse


class Part(BaseModel):
    """A mapping of the config: immutable, no unknown keys, its values never shown in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if found := list(self.disagreements()):
            raise refuse(found)
        return self

    def disagreements(self) -> Iterator[Mistake]:
        """Keys that are fine alone and wrong together."""
        return iter(())
