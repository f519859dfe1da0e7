"""A log that cannot be told anything."""

import logging
from typing import final


@final
class BrokenHandler(logging.Handler):
    """Raises at every line."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("nobody can be told")
