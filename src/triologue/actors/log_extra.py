"""What a record in the program's log file has besides its text, and how one is written that may not raise."""

import logging
import traceback
from typing import Any


def log_extra(key: str | None, turn_id: str | None = None) -> dict[str, str | None]:
    """The `extra` of a record: always both fields, since a format that names one fails where a record lacks it.

    Args:
        key: of the session that it is about; None: of none alone.
        turn_id: of the turn, where it is about one.
    """
    return {"session_key": key, "turn_id": turn_id}


def log_safely(logger: logging.Logger, level: int, text: str, *values: object, **more: Any) -> None:
    """Log it where all of a manager depends on going on, also if a handler or a filter raises."""
    try:
        logger.log(level, text, *values, **more)
    except Exception:  # noqa: BLE001 - it would break the manager, and with it all sessions
        if logging.raiseExceptions:  # as `logging` itself tells of what its handlers cannot write
            traceback.print_exc()
