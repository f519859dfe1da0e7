"""Times, as people say them; pure."""

import re
from datetime import datetime

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.IGNORECASE)


def seconds_of(span: str) -> float:
    """The seconds of a time span: `90s`, `15m`, `12h`, `30d`, `2w`.

    Raises:
        ValueError: it is none.
    """
    told = _SPAN.fullmatch(span.strip())
    if told is None:
        raise ValueError(f"{span!r} is no time span; give a number with s, m, h, d or w, as in 30d")
    return float(told[1]) * _UNITS[told[2].lower()]


def ago(seconds: float) -> str:
    """How long ago, in one unit: `just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    if seconds < 60:
        return "just now"
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name} ago"
    raise AssertionError("a minute is the least that comes here")


def clock(time: float) -> str:
    """A time in seconds since the epoch, in this machine's zone, to the second; `-` for none."""
    try:
        return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else "-"
    except (OverflowError, OSError, ValueError):
        return "-"
