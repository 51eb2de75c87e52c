"""YAML text to plain data, and where in the text each value stands.

Built on libyaml's events, not on yaml.load: nothing recurses, nothing is aliased, numbers stay decimal, and every key
keeps its line. Aliases (bombs), merge keys, tags and duplicate keys (a doubled price is money) are refused. Bare
words mean what YAML 1.1 says they mean, as most tools read them: `no` is a boolean here too, so that it is refused
where text is due instead of meaning one thing here and another elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import yaml
from yaml import events

from exporter.config.types import Loc

MAX_DEPTH = 32
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _date(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text  # 2026-02-30: the key that wants a date says so


# What a bare word means; any other is text. 017 is 15 to some YAML readers and 17 to others, 1:30 is 90 to some: both
# stay text, and are refused where a number is due.
WORDS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE|yes|Yes|YES|on|On|ON"), lambda _: True),
    (re.compile(r"false|False|FALSE|no|No|NO|off|Off|OFF"), lambda _: False),
    (re.compile(r"[-+]?(0|[1-9][0-9]{0,29})"), int),
    (re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?"), Decimal),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: Decimal(text.replace(".", ""))),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), _date),
)


class Place(NamedTuple):
    """A position in the file, from 1, and the scalar that stands there as written."""

    line: int = 0
    column: int = 0
    text: str = ""


class Finding(NamedTuple):
    """One mistake and its place; findings sort in the order of the file."""

    place: Place
    loc: Loc
    wrong: str
    fix: str


class _StopError(Exception):
    """What follows cannot be read."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    loc: Loc
    value: dict[str, Any] | list[Any]
    key: str | None = None  # of the value that comes next
    place: Place = field(default_factory=Place)  # of that key
    skip: bool = False  # that key was there before: what follows is read and dropped

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def below(self) -> Loc:
        """Where the next value will stand."""
        return (*self.loc, len(self.value) if self.key is None else self.key)

    def add(self, value: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None and not self.skip:
            self.value[self.key] = value
        self.key = None


@dataclass(slots=True)
class Document:
    """What was read. Findings below `broken` locs are consequences of findings already made."""

    data: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)

    def place(self, loc: Loc) -> Place:
        """Where it stands; for a key that is missing, where its mapping does."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, Place())

    def is_broken(self, loc: Loc) -> bool:
        return any(loc[:length] in self.broken for length in range(len(loc) + 1))


def _place(mark: Any, text: str = "") -> Place:
    return Place(mark.line + 1, mark.column + 1, text) if mark else Place()


def read(text: str) -> Document:
    """Read YAML text. Never raises: what is wrong is in the document's findings."""
    document = Document()
    try:
        _Builder(document).build(yaml.parse(text, Loader=LOADER))
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        wrong = f"not YAML: {error.problem or 'it cannot be read'}"
        document.findings.append(Finding(place, (), wrong, "check the indentation, colons, quotes and brackets there"))
        document.broken.add(())
    except (yaml.YAMLError, ValueError):
        wrong, fix = "a character that YAML does not allow", "remove control characters from the file"
        document.findings.append(Finding(Place(), (), wrong, fix))
        document.broken.add(())
    except _StopError:
        document.broken.add(())
    return document


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Open] = []

    def build(self, stream: Iterator[events.Event]) -> None:
        documents = 0
        for event in stream:
            place = _place(event.start_mark, getattr(event, "value", ""))
            match event:
                case events.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self.refuse(place, (), "a second document", "keep one document in the file, without `---`")
                        raise _StopError
                case events.CollectionEndEvent():
                    self.stack.pop()
                case events.NodeEvent():
                    self.node(event, place)

    def refuse(self, place: Place, loc: Loc, wrong: str, fix: str) -> None:
        self.document.findings.append(Finding(place, loc, wrong, fix))

    def node(self, event: events.NodeEvent, place: Place) -> None:
        top = self.stack[-1] if self.stack else None
        if top and top.wants_key:
            self.key(top, event, place)
            return
        loc = top.below() if top else ()
        if top and top.key is not None:
            place = Place(*top.place[:2], place.text)
        self.document.places.setdefault(loc, place)
        value = self.value(event, place, loc)
        if top:
            top.add(value)
        else:
            self.document.data = value
        if isinstance(value, dict | list):
            if len(self.stack) >= MAX_DEPTH:
                self.refuse(
                    place, loc, f"nested more than {MAX_DEPTH} deep", "remove the extra brackets or indentation"
                )
                raise _StopError
            self.stack.append(_Open(loc, value))

    def key(self, top: _Open, event: events.NodeEvent, place: Place) -> None:
        if not isinstance(event, events.ScalarEvent):
            self.refuse(place, top.loc, "a key that is not plain text", "write `key: value`, and put the key in quotes")
            raise _StopError
        top.key, top.place = event.value, place
        loc = (*top.loc, event.value)
        top.skip = event.value in top.value
        if event.anchor or (event.tag and event.tag != "!"):
            self.refuse(place, loc, "an anchor or a tag on a key", "write the key alone")
        if top.skip:
            first = self.document.place(loc).line
            self.refuse(place, loc, f"the key is there twice, first on line {first}", "keep one of the two")
        elif event.value == "<<" and event.implicit[0]:
            self.refuse(place, top.loc, "a merge key `<<`", "write the keys out")
            self.document.broken |= {top.loc, loc}

    def value(self, event: events.NodeEvent, place: Place, loc: Loc) -> Any:
        if isinstance(event, events.AliasEvent):
            if not self.document.is_broken(loc):
                self.refuse(place, loc, f"an alias `*{event.anchor}`", "write the value out")
            self.document.broken.add(loc)
            return None
        if event.anchor:
            self.refuse(place, loc, f"an anchor `&{event.anchor}`", "remove it: aliases are not read")
        tag = getattr(event, "tag", None)
        if tag and tag != "!":
            self.refuse(place, loc, "a tag", "write the plain value, without `!`")
            self.document.broken.add(loc)
        if isinstance(event, events.CollectionStartEvent):
            return {} if isinstance(event, events.MappingStartEvent) else []
        text = place.text
        value = scalar(text) if isinstance(event, events.ScalarEvent) and event.implicit[0] else text
        if value is None and loc and not self.document.is_broken(loc):
            self.refuse(place, loc, "there is no value", "give it one, or remove the key")
            self.document.broken.add(loc)
        return value


def scalar(text: str) -> Any:
    """The value of a bare word."""
    for pattern, meaning in WORDS:
        if pattern.fullmatch(text):
            return meaning(text)
    return text
