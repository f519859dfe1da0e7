"""A conversation as the head of a stored session, and back."""

import time
from collections.abc import Sequence
from math import isclose
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from triologue.actors.conversation import Conversation
from triologue.errors import MAY_HOLD_SECRETS, CallerError, InvalidOption, UnsupportedOption
from triologue.messages.loose import as_text
from triologue.options import IDENTITY, Options, without_identity
from triologue.ports import Agent, LivesInside, StoredSession, UnfinishedTurn

# Kept by fields of their own; what may hold secrets is not kept at all.
_ELSEWHERE = frozenset({*IDENTITY, "cwd", "model", "permission_mode"})
_NOT_AMONG_OPTIONS = _ELSEWHERE | {*MAY_HOLD_SECRETS}
_NAMED_FOLDER = "is_folder_named"
"""Of a head's settings: the folder is a caller's wish for this session, and not only the manager's."""


def new_head(conversation: Conversation) -> StoredSession:
    """The head of a session that the store has nothing of."""
    now, cwd = time.time(), conversation.options.cwd
    return StoredSession(
        key=conversation.key,
        created=conversation.log_begun(),
        last_active=now,
        cwd=str(Path(cwd)) if cwd is not None else None,
    )


def pinned(options: Options, agent: Agent) -> Options:
    """With a working folder that stays the same, wherever the host is started the next time.

    A program finds its histories by the folder that it works in, unless it has no such option.
    """
    cwd = Path(options.cwd) if options.cwd is not None else None
    if (cwd is None and isinstance(agent, LivesInside)) or (cwd is not None and cwd.is_absolute()):
        return options
    copied = options.copy()
    copied.cwd = str((cwd or Path()).absolute())
    return copied if cwd is not None or _has_folder(agent, copied) else options


def _has_folder(agent: Agent, options: Options) -> bool:
    try:
        agent.check(options)
    except CallerError as error:
        return not (isinstance(error, UnsupportedOption) and error.option == "cwd")
    return True


def check_fits(conversation: Conversation, head: StoredSession) -> None:
    """Refuse to go on with a conversation as another one.

    Raises:
        InvalidOption: it is with another agent or in another folder, or the options would begin another one.
    """
    if head.agent and head.agent != conversation.agent.name:
        raise InvalidOption(
            f"the key {head.key!r} has a conversation with {head.agent!r}, and not with {conversation.agent.name!r}; "
            "give that agent to manager.session(), or use another key"
        )
    # Not those in its options: how it was to begin the store was told, and another host may have begun it since.
    identity = sorted(conversation.named.keys() & set(IDENTITY))
    if identity and conversation.session_id is None and head.session_id is not None:
        raise InvalidOption(
            f"the key {head.key!r} has a conversation already, so {', '.join(identity)} cannot begin another one under it; "
            "use another key, or session.reset()"
        )
    if head.session_id is not None:  # else there is no history yet, and the folder may have been a wrong one
        check_folder(head.key, conversation.named, head.cwd)


def check_folder(key: str, named: dict[str, Any], folder: str | Path | None) -> None:
    """Refuse to go on with a conversation in another folder than it works in.

    Raises:
        InvalidOption: such a folder is named.
    """
    cwd = named.get("cwd")
    if cwd is not None and folder is not None and Path(cwd).absolute() != Path(folder).absolute():
        raise InvalidOption(
            f"the session {key!r} works in {str(folder)!r}, where its agent keeps its history, and not in {str(cwd)!r}; "
            "use another key for another folder"
        )


def restore(conversation: Conversation, head: StoredSession) -> None:
    """Be as the store has it: another host, or an earlier run of this one, went on with it.

    What callers have named for the session here since then wins.
    """
    if head.session_id is not None and head.session_id != conversation.session_id:
        conversation.options = without_identity(conversation.options)
    conversation.session_id, conversation.is_confirmed = head.session_id, head.is_confirmed
    conversation.total_cost_usd, conversation.ended = head.cost_usd, head.turns
    conversation.spent_usd = head.settings.get("spent_usd", head.cost_usd or 0.0)
    named = conversation.named
    conversation.settings = {
        setting: now if setting in named else head.settings.get(setting)
        for setting, now in conversation.settings.items()
    }
    kept: dict[str, Any] = head.settings.get("options", {})
    changed = {name: value for name, value in kept.items() if name not in named and name in Options.__struct_fields__}
    if head.session_id is None:
        changed |= {name: value for name, value in head.settings.get("begin", {}).items() if name in IDENTITY}
    if head.settings.get(_NAMED_FOLDER):
        conversation.given |= {"cwd"}
    conversation.given |= changed.keys()
    conversation.options = conversation.options.copy()
    for name, value in changed.items():
        setattr(conversation.options, name, value)
    cwd = conversation.options.cwd
    if head.session_id is None and cwd is not None and "cwd" in named:
        conversation.options.cwd = str(Path(cwd).absolute())
    elif head.cwd is not None and stays(conversation, head.unfinished):
        conversation.options.cwd = head.cwd
    conversation.own = kept
    conversation.begun = head.created
    conversation.log.skip_to(head.last_seq)


def stays(conversation: Conversation, unfinished: Sequence[UnfinishedTurn]) -> bool:
    """Is it bound to its folder? By its agent's history, a message that was accepted for it, or a caller who named it.

    Else the folder is the manager's, which may have been a wrong one and be another now.
    """
    options = conversation.options
    has_history = conversation.session_id or options.resume or options.continue_conversation
    return bool(has_history or unfinished or "cwd" in conversation.given)


def is_another(conversation: Conversation, head: StoredSession | None) -> bool:
    """Has the store another log of its key than the one that is known here, or none: was that one deleted elsewhere?

    If another host went on with it, it is the same one, and longer.
    """
    if conversation.log.last == 0:
        return False
    return head is None or head.last_seq < conversation.log.last or head.created != conversation.begun


def take_over(conversation: Conversation, head: StoredSession | None) -> None:
    """Be as the store has it, from now on as the one who writes it there."""
    if head is not None:
        restore(conversation, head)
    conversation.own = kept_options(conversation)
    conversation.named = {}


def told(conversation: Conversation) -> None:
    """What callers have named for it meanwhile is in its head, as far as it can be."""
    conversation.own = kept_options(conversation)
    conversation.named = {}


def is_kept_whole(conversation: Conversation) -> bool:
    """Would it come from the store with all that callers have named for it? Callbacks and secrets are not kept there."""
    options, own = conversation.options, conversation.own
    given = {name: getattr(options, name) for name in conversation.given - _ELSEWHERE}
    lost = (name for name, value in given.items() if name not in own or own[name] != _built_in(value))
    return not conversation.named and conversation.on_missing == "raise" and next(lost, None) is None


def described(conversation: Conversation, head: StoredSession) -> StoredSession:
    """The head with what is known of it now."""
    settings: dict[str, Any] = {str(name): value for name, value in conversation.settings.items()}
    if own := kept_options(conversation):
        settings["options"] = own
    begin = {name: value for name, value in conversation.options.named().items() if name in IDENTITY}
    if conversation.session_id is None and begin:
        settings["begin"] = begin
    if not isclose(conversation.spent_usd, conversation.total_cost_usd or 0.0):
        settings["spent_usd"] = conversation.spent_usd
    cwd, folder, is_named = head.cwd, conversation.options.cwd, "cwd" in conversation.given
    if conversation.session_id is None or (cwd is None and is_named):
        # It has no history yet; or it began in no folder, as an agent inside the program can.
        cwd = str(Path(folder).absolute()) if folder is not None else None
    if is_named:
        settings[_NAMED_FOLDER] = True
    return replace(
        head,
        cwd=cwd,
        session_id=conversation.session_id,
        is_confirmed=conversation.is_confirmed,
        agent=conversation.agent.name,
        settings=settings,
        cost_usd=conversation.total_cost_usd,
    )


def kept_options(conversation: Conversation) -> dict[str, Any]:
    """The options that callers gave for it, as far as a store can keep them; not what another one has taken the place of."""
    before = {name: value for name, value in conversation.own.items() if name not in conversation.named}
    return before | plain(conversation.named)


def plain(named: dict[str, Any]) -> dict[str, Any]:
    """The options among these that a store can keep: no callbacks, no secrets, nothing but JSON and paths."""
    kept: dict[str, Any] = {}
    for name, value in named.items():
        if name in _NOT_AMONG_OPTIONS:
            continue
        try:
            kept[name] = msgspec.json.decode(msgspec.json.encode(value, enc_hook=_as_json))
        except (TypeError, UnicodeEncodeError, msgspec.MsgspecError):
            continue
    return kept


def _built_in(value: object) -> object:
    """As `plain` gives it, but for what would not come back the same: a number as a key, for instance."""
    try:
        return msgspec.to_builtins(value, enc_hook=_as_json)
    except (TypeError, msgspec.MsgspecError):
        return value


def _as_json(value: object) -> str:
    return str(value) if isinstance(value, Path) else as_text(value)
