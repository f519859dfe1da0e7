"""Many rows in one statement, which runs without Python from its first row to its last."""

from collections.abc import Sequence
from typing import Any, Final, final

import apsw

MOST_ROWS: Final = 32
"""In one statement. From there on, what a statement costs is nothing beside its rows."""


@final
class Bulk:
    """A statement for any number of rows. SQLite compiles it for one, two, four ... rows, and keeps that.

    Args:
        statement: with `{rows}` where the values go.
        width: columns of a row.
    """

    def __init__(self, statement: str, *, width: int) -> None:
        row = f"({', '.join('?' * width)})"
        sizes = [1 << power for power in reversed(range(MOST_ROWS.bit_length()))]
        self._statements: Final = [(size * width, statement.format(rows=", ".join([row] * size))) for size in sizes]

    def write(self, db: apsw.Connection, values: Sequence[Any]) -> None:
        """Run it for these rows, one after another in one sequence."""
        done = 0
        for size, statement in self._statements:
            while len(values) - done >= size:
                db.execute(statement, values[done : done + size])
                done += size
