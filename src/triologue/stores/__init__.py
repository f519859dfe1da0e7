"""Where conversations are kept: in this process, or in an SQLite file that outlives it.

Both pass `triologue.testing.SessionStoreContract`, and so should a store of your own.
"""

from triologue.stores.memory import MemoryStore
from triologue.stores.rules import no_session
from triologue.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "no_session"]
