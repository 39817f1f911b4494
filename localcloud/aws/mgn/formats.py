"""Ids, ARNs, times and durations as MGN writes them."""

import secrets
from datetime import UTC, datetime

from . import settings as configured
from .exceptions import ValidationException

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def new_id(prefix: str) -> str:
    """A new id: the prefix and 17 hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def timestamp(at: float) -> str:
    """A Unix time as the service writes it: with microseconds, and in UTC."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z") if configured.settings().timestamps == "zulu" else text


def stamped(**times: float | None) -> dict[str, str]:
    """The times that are set, as the service writes them."""
    return {name: timestamp(at) for name, at in times.items() if at is not None}


def unix_time(text: str, field: str) -> float:
    """The Unix time of an ISO 8601 date with an offset.

    Raises:
        ValidationException: It is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise ValidationException(f"{field} is not an ISO 8601 date with an offset", fields=[(field, text)])
    return read.timestamp()


def lag(seconds: float) -> str:
    """A replication lag, such as `PT5M3S`; none is `P0D`, never `PT0S`, unless a switch pads it."""
    style = configured.settings().lag_format
    if style == "fractional":
        return elapsed(seconds)
    return _padded(int(seconds)) if style == "padded" else _iso(int(seconds), "")


def elapsed(seconds: float) -> str:
    """A duration with its microseconds, such as `PT16H20M38.697305S`."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return _iso(whole, f".{micro:06}" if micro else "")


def _padded(whole: int) -> str:
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, seconds = divmod(rest, _MINUTE)
    return f"P{days}DT{hours:02}H{minutes:02}M{seconds:02}S"


def _iso(whole: int, fraction: str) -> str:
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, _HOUR)
    minutes, seconds = divmod(rest, _MINUTE)
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction:
        clock += f"{seconds}{fraction}S"
    date = f"{days}D" if days or not clock else ""
    return f"P{date}{'T' + clock if clock else ''}"
