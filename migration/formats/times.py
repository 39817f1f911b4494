"""Durations and times: narrower than pydantic's own, which take what JSON Schema's formats do not."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

from migration.formats.base import Expected

LONGEST_DURATION = timedelta(days=3660)
"""Ten years: far beyond any migration, and safely inside what a timer can hold."""

_TIME = (
    r"T(?:[0-9]+H(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,6})?S)?|[0-9]+M(?:[0-9]+(?:\.[0-9]{1,6})?S)?"
    r"|[0-9]+(?:\.[0-9]{1,6})?S)"
)
_DURATION = rf"^P(?:[0-9]+W|[0-9]+D(?:{_TIME})?|{_TIME})$"
_DURATION_UNITS = {"W": "weeks", "D": "days", "H": "hours", "M": "minutes", "S": "seconds"}


def parse_duration(text: str) -> timedelta:
    """Read an ISO 8601 duration of weeks, or of days, hours, minutes and seconds.

    Months and years have no fixed length, and a negative duration has no meaning here: both are refused.

    Raises:
        ValueError: The text is no such duration, or is longer than `LONGEST_DURATION`.
    """
    if not re.fullmatch(_DURATION[1:-1], text):
        raise ValueError(text)
    parts = {_DURATION_UNITS[unit]: float(number) for number, unit in re.findall(r"([0-9.]+)([WDHMS])", text)}
    try:
        duration = timedelta(**parts)
    except OverflowError:
        raise ValueError(text) from None
    if duration > LONGEST_DURATION:
        raise ValueError(text)
    return duration


def format_duration(duration: timedelta) -> str:
    """Write a duration the one canonical way: days, hours, minutes, seconds, and nothing that is zero."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.microseconds:06d}".rstrip("0") if duration.microseconds else ""
    days = f"{duration.days}D" if duration.days else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    time += f"{seconds}{fraction}S" if seconds or fraction else ""
    return f"P{days}{'T' + time if time else ''}" if days or time else "PT0S"


_TIMESTAMP = (
    r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 time with its offset, as UTC.

    Raises:
        ValueError: The text is no such time.
    """
    if not re.fullmatch(_TIMESTAMP[1:-1], text):
        raise ValueError(text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None


def format_timestamp(moment: datetime) -> str:
    """Write a time in UTC with a `Z`, with a fraction only where there is one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Spelt:
    """A value that JSON spells as text: parsed on the way in, written canonically on the way out."""

    def __init__(self, kind: type, pattern: str, parse: Callable[[str], Any], write: Callable[[Any], str]) -> None:
        self.kind, self.pattern, self.parse, self.write = kind, pattern, parse, write

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(strict=True, pattern=self.pattern)
        spelt = core_schema.no_info_after_validator_function(self.parse, text)
        return core_schema.json_or_python_schema(
            json_schema=spelt,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(self.kind), spelt]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.write, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )


Duration = TypeAliasType(
    "Duration",
    Annotated[
        timedelta,
        _Spelt(timedelta, _DURATION, parse_duration, format_duration),
        Expected("an ISO 8601 duration of weeks, days or smaller units, such as PT5M or P2D, of at most ten years"),
    ],
)
Timestamp = TypeAliasType(
    "Timestamp",
    Annotated[
        datetime,
        _Spelt(datetime, _TIMESTAMP, parse_timestamp, format_timestamp),
        Expected("an RFC 3339 time with its offset, such as 2026-11-28T20:00:00Z"),
    ],
)
