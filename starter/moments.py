"""Moments and spans in the words of a person at a terminal, in the local time zone."""

from datetime import datetime, timedelta

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(length: timedelta) -> str:
    """A length of time in its two largest units: `2 d 3 h`, `5 min`, `0 s`."""
    left, words = round(abs(length).total_seconds()), list[str]()
    for seconds, unit in _UNITS:
        count, left = divmod(left, seconds)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words[:2])


def ago(when: datetime, now: datetime) -> str:
    """How long ago, to the unit that matters."""
    return f"{span(now - when)} ago"


def clock(when: datetime, now: datetime) -> str:
    """A moment with its zone, and its day where that is not today."""
    there = when.astimezone()
    return f"{there:%H:%M %Z}" if there.date() == now.astimezone().date() else f"{there:%d %b %H:%M %Z}"


def moment(when: datetime, now: datetime) -> str:
    """The same, and how far off it is."""
    return f"{clock(when, now)} ({f'in {span(when - now)}' if when > now else ago(when, now)})"
