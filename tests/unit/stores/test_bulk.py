"""Many rows in few statements."""

import apsw
import pytest

from triologue.stores.bulk import MOST_ROWS, Bulk


@pytest.mark.parametrize("count", [0, 1, 2, 31, MOST_ROWS, 33, 100])
def test_all_rows_are_written_in_order(count: int) -> None:
    rows = [(number, f"row {number}") for number in range(count)]
    db = apsw.Connection(":memory:")
    db.execute("CREATE TABLE log (number INTEGER, text TEXT)")
    Bulk("INSERT INTO log VALUES {rows}", width=2).write(db, [value for row in rows for value in row])
    assert db.execute("SELECT * FROM log ORDER BY rowid").fetchall() == rows
