"""The scalars of the config: what each may look like, and what to say when it does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from exporter.config.url import HOST, check_link_local, check_url
from exporter.records import OTHER, UNATTRIBUTED

# Where a value stands: ("pools", 1, "gpus", "count") is pools[1].gpus.count.
Loc: TypeAlias = tuple[str | int, ...]
# One mistake: where (relative to the model that found it), what is wrong, what would be right.
Mistake: TypeAlias = tuple[Loc, str, str]

MS = 1_000_000
SECOND = 1000 * MS
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MS}
LONGEST = 366 * DAY
HIGHEST_INDEX = 999  # of a GPU on a host; real hosts have up to 16

NAME_PATTERN = r"^[a-zA-Z0-9_.-]+$"
LABEL_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
METRIC_PATTERN = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"  # no control characters: these texts reach logs and labels
UUID_PATTERN = r"^(GPU|MIG)-[0-9A-Za-z/-]{1,124}$"  # MIG-GPU-.../1/0: an instance, as drivers before R470 name it
LABEL_VALUE_PATTERN = TEXT_PATTERN.replace("+", "*")
USERNAME_PATTERN = r"^[^:\x00-\x1f\x7f-\x9f\u2028\u2029]+$"  # a colon would end it (RFC 7617)
HEADER_PATTERN = r"^[\x20-\x7e]*[\x21-\x7e]$"
# Cost, 16 bytes of salt, 23 of hash. The last letters of salt and hash have bits to spare, which are zero.
BCRYPT_PATTERN = r"^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$"
PATH_PATTERN = r"^/[^\s?#\\\x00-\x1f\x7f-\x9f]*$"
FOUND_LABEL_PATTERN = r"^[a-zA-Z0-9_./-]+$"  # Prometheus' labels, and Kubernetes' with their prefix
PORT_PATTERN = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"  # of a container port's name
DURATION_PATTERN = r"^[1-9][0-9]{0,11}(ms|s|m|h|d)$"


def refuse(mistakes: Iterable[Mistake]) -> PydanticCustomError:
    """The one way our own checks fail: what is wrong and what would be right travel in the error's context."""
    found = tuple(mistakes)
    return PydanticCustomError("mistakes", "{text}", {"text": "; ".join(m[1] for m in found), "mistakes": found})


def duration(value: object) -> int:
    """`15s` as nanoseconds."""
    if not isinstance(value, str) or not re.match(DURATION_PATTERN, value) or value.endswith("\n"):
        raise refuse(
            [((), "not a duration", "write a whole number above 0 and its unit, such as 500ms, 15s, 5m, 1h, 7d")]
        )
    number = value.rstrip("dhms")
    nanoseconds = int(number) * UNITS[value.removeprefix(number)]
    if nanoseconds > LONGEST:
        raise refuse([((), f"{value} is too long", f"write at most {format_duration(LONGEST)}")])
    return nanoseconds


def format_duration(nanoseconds: int) -> str:
    """The shortest exact spelling the config would accept: 90 s is `90s`, 60 min is `1h`."""
    for unit, size in UNITS.items():
        if nanoseconds >= size and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    raise ValueError(f"{nanoseconds} ns is not a whole number of milliseconds above 0")


def _number(value: object) -> Decimal:
    """A number as it stands in the file, never through binary floating point; quoted text is not a number."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    raise PydanticCustomError("number_type", "not a number")


def _day(value: object) -> date:
    """A calendar date, bare or quoted."""
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise refuse([((), "not a date of the calendar", "write it as 2026-01-31")])


def _zone(value: str) -> str:
    """A time zone's name. UTC needs no tz database."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415  only a budget needs it

    if value != "UTC":
        try:
            ZoneInfo(value)
        except (OSError, ValueError, LookupError) as error:
            fix = "use a name of the tz database such as Europe/Berlin, or UTC"
            raise refuse([((), f"no time zone is called {value!r}", fix)]) from error
    return value


def one_or_more(value: object) -> object:
    """One text is a list of one."""
    return (value,) if isinstance(value, str) else value


def _url(value: str) -> str:
    for wrong, fix in check_url(value):
        raise refuse([((), wrong, fix)])
    return value


def _sd_url(value: str) -> str:
    for wrong, fix in check_url(value, "http://127.0.0.1:8080/targets"):
        raise refuse([((), wrong, fix)])
    return value


def _api_server(value: str) -> str:
    example = "https://10.0.0.1:6443/"
    for wrong, fix in check_url(f"{value.rstrip('/')}/", example):
        raise refuse([((), wrong, fix)])
    for wrong, _ in check_link_local(value):
        raise refuse([((), wrong, f"write it as {example}")])
    return value.rstrip("/")


def _host_name(value: str) -> str:
    if not HOST.fullmatch(value.lower()):
        raise refuse([((), "not a host name", "write it without scheme and port, such as llama.llm.svc")])
    return value


def _port(value: object) -> object:
    """A number, or a container port's name."""
    if type(value) is int and 1 <= value <= 65535:
        return value
    if isinstance(value, str) and len(value) <= 15 and re.match(PORT_PATTERN, value):
        return value
    raise refuse([((), "neither a port's number nor its name", "write 1 to 65535, or a name such as http")])


def _otlp_url(value: str) -> str:
    for wrong, fix in check_url(value, "http://127.0.0.1:4318/v1/metrics"):
        raise refuse([((), wrong, fix)])
    return value


def _absolute(value: str, info: ValidationInfo) -> str:
    """Relative to the config file's folder, which load() passes as the context."""
    return str(Path(info.context or ".", value).absolute())


def _tenant(value: str) -> str:
    if value in (UNATTRIBUTED, OTHER):
        raise refuse([((), f"the tenant {value} is reserved", "choose another name")])
    return value


def _devices(value: object) -> object:
    """`all` is every GPU of the host: an empty selection."""
    if value == "all":
        return ()
    if not isinstance(value, list | tuple) or not value:
        raise refuse([((), "not a selection of devices", 'write all, or a list such as [0, 1, "GPU-uuid"]')])
    found, seen = [], set()
    for number, item in enumerate(value):
        mistake = _no_device(item)
        if mistake is None and item in seen:
            mistake = f"the device {item} is there twice", "remove one of the two"
        elif mistake is None:
            seen.add(item)
        if mistake:
            found.append(((number,), *mistake))
    if found:
        raise refuse(found)
    return value


def _no_device(value: object) -> tuple[str, str] | None:
    """What is wrong with one item of a selection, and what would be right."""
    if type(value) is int:
        known, wrong, fix = 0 <= value <= HIGHEST_INDEX, "no device has this index", f"write 0 to {HIGHEST_INDEX}"
    elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        known, wrong, fix = False, "an index in quotes", f"write {int(value)} without quotes"
    else:
        known = isinstance(value, str) and bool(re.fullmatch(UUID_PATTERN, value))
        wrong, fix = "neither an index nor a UUID", "write it as `nvidia-smi -L` shows it: 0, GPU-... or MIG-..."
    return None if known else (wrong, fix)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise refuse([((), "not a regular expression", "correct it, or write the plain label value")]) from error
    return value


Duration = Annotated[
    int, BeforeValidator(duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]  # nanoseconds
Usd = Annotated[
    Decimal,
    Field(ge=0, le=1_000_000, decimal_places=12),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1_000_000}),
]
Weight = Usd
Limit = Annotated[
    Decimal,
    Field(gt=0, le=1_000_000_000, decimal_places=12),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000}),
]
Count = Annotated[
    Decimal,
    Field(gt=0, le=100_000, decimal_places=6),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100_000}),
]
Pue = Annotated[
    Decimal,
    Field(ge=1, le=10, decimal_places=6),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "minimum": 1, "maximum": 10}),
]
Share = Annotated[
    Decimal,
    Field(gt=0, le=1, decimal_places=6),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
]
Years = Annotated[
    Decimal,
    Field(gt=0, le=100, decimal_places=6),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
]
Percent = Annotated[
    Decimal,
    Field(ge=0, le=100, decimal_places=6),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100}),
]
Replicas = Annotated[int, Field(strict=True, ge=2, le=1000)]
_DEVICE = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": HIGHEST_INDEX}, {"type": "string", "pattern": UUID_PATTERN}]
}
Devices = Annotated[
    tuple[int | str, ...],
    BeforeValidator(_devices),
    WithJsonSchema(
        {"anyOf": [{"const": "all"}, {"type": "array", "items": _DEVICE, "minItems": 1, "uniqueItems": True}]}
    ),
]  # empty: all
Day = Annotated[date, BeforeValidator(_day)]

Text = Annotated[str, StringConstraints(strict=True, max_length=1024, pattern=TEXT_PATTERN)]
Name = Annotated[str, StringConstraints(strict=True, max_length=128, pattern=NAME_PATTERN)]
Label = Annotated[str, StringConstraints(strict=True, max_length=128, pattern=LABEL_PATTERN)]
Labels = Annotated[
    tuple[Label, ...],
    Field(min_length=1),
    BeforeValidator(one_or_more, json_schema_input_type=Label | Annotated[list[Label], Field(min_length=1)]),
]
Metric = Annotated[str, StringConstraints(strict=True, max_length=256, pattern=METRIC_PATTERN)]
# Empty: the series without that label.
LabelValue = Annotated[str, StringConstraints(strict=True, max_length=1024, pattern=LABEL_VALUE_PATTERN)]
# A tenant, a model or a product is a value other people chose (a team, an e-mail address): no more is asked of it
# than that it can stand in a log line and a label.
Value = Annotated[str, StringConstraints(strict=True, max_length=128, pattern=TEXT_PATTERN)]
Tenant = Annotated[Value, AfterValidator(_tenant)]
Username = Annotated[str, StringConstraints(strict=True, max_length=128, pattern=USERNAME_PATTERN)]
Url = Annotated[Text, AfterValidator(_url)]
SdUrl = Annotated[Text, AfterValidator(_sd_url)]
ApiServer = Annotated[Text, AfterValidator(_api_server)]
UrlPath = Annotated[str, StringConstraints(strict=True, max_length=512, pattern=PATH_PATTERN)]
FoundLabel = Annotated[str, StringConstraints(strict=True, max_length=317, pattern=FOUND_LABEL_PATTERN)]
HostName = Annotated[Text, AfterValidator(_host_name)]
PortNumber = Annotated[int, Field(strict=True, ge=1, le=65535)]
Port = Annotated[
    int | str,
    BeforeValidator(_port),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "pattern": PORT_PATTERN}]}
    ),
]
OtlpUrl = Annotated[Text, AfterValidator(_otlp_url)]
File = Annotated[Text, AfterValidator(_absolute)]
Zone = Annotated[Value, AfterValidator(_zone)]
Regex = Annotated[Value, AfterValidator(_pattern)]
