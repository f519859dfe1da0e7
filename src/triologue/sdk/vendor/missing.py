"""Names of the vendors that have no counterpart here: importing one says why, and what to do instead."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from triologue.errors import UnsupportedOption

STORES = (
    "there is no session store of the vendor's kind: conversations are kept by the agent, and by the manager; "
    "see docs/howto/migrate.md"
)
STORE_NAMES = (
    "InMemorySessionStore",
    "SessionKey",
    "SessionListSubkeysKey",
    "SessionStore",
    "SessionStoreEntry",
    "SessionStoreFlushMode",
    "SessionStoreListEntry",
    "delete_session_via_store",
    "fork_session_via_store",
    "get_session_info_from_store",
    "get_session_messages_from_store",
    "get_subagent_messages_from_store",
    "import_session_to_store",
    "list_sessions_from_store",
    "list_subagents_from_store",
    "rename_session_via_store",
    "tag_session_via_store",
)
TRANSPORT = (
    "how bytes travel is the agent's affair here: name another program by `cli_path`, or hand an agent of your own "
    "(triologue.Agent) to triologue.query() or triologue.Client"
)


class NotPorted(ImportError):
    """A vendor's name that has no counterpart. An `ImportError`, because only that is shown by `from ... import`."""


def missing(module: str, table: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """A `__getattr__` for a face: raises what its table says of a name."""

    def find(name: str) -> NoReturn:
        if name in table:
            raise NotPorted(f"{module} has no {name}: {table[name]}", name=name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


def refuse_transport(agent: str, transport: Any) -> None:
    """Refuse a transport of the vendor's kind. Raises `UnsupportedOption`."""
    if transport is not None:
        raise UnsupportedOption(agent, "transport", transport, TRANSPORT)
