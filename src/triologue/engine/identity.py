"""Which conversation is meant: new, given an id, resumed, continued, forked, or cut."""

import os
import sys
from uuid import UUID

from msgspec import Struct

from triologue.engine.setup import EngineSetup
from triologue.engine.transcripts import Transcript
from triologue.messages import ResultMessage
from triologue.options import Options

INVALID_ID = "Error: Invalid session ID. Must be a valid UUID."
ID_IN_USE = "Error: Session ID {} is already in use."
NEEDS_FORK = "Error: --session-id with --continue or --resume also needs --fork-session."
NEEDS_RESUME = "Error: --resume-session-at needs --resume."
NEEDS_CUT = "Error: --resume-drops-turn needs --resume-session-at."
REJECTED = "Resume rejected by --resume-drops-turn:"
UNKNOWN_ID = "No conversation found with session ID: {}"
UNKNOWN_MESSAGE = "No message found with message.uuid of: {}"


class Refusal(Struct, frozen=True):
    """Why there is no conversation to begin with."""

    text: str
    """What goes to stderr."""
    result: ResultMessage | None = None
    """What goes out in place of the answer to `initialize`, if anything does."""


def working_directory(options: Options) -> str:
    """The folder that a conversation belongs to."""
    # Interned, since all the conversations of a folder, and what is said in them, have its name.
    return sys.intern(os.path.abspath(os.fspath(options.cwd or ".")))  # noqa: PTH100 - a name only; nothing is looked up


def open_conversation(setup: EngineSetup) -> Transcript | Refusal:
    """Find or make the conversation that the options name. It is kept from its first turn on."""
    options, transcripts = setup.options, setup.transcripts
    if wrong := _check_ids(setup):
        return Refusal(wrong)
    cwd = working_directory(options)
    # `continue` wins over `resume`, as with Claude Code.
    source = transcripts.latest(cwd) if options.continue_conversation else transcripts.get(options.resume or "")
    if source is None:
        if options.resume and not options.continue_conversation:
            return _refuse(UNKNOWN_ID.format(options.resume), options.resume, setup)
        return Transcript(options.session_id or setup.new_id(), cwd)
    return _prepare(source, setup)


def _prepare(source: Transcript, setup: EngineSetup) -> Transcript | Refusal:
    """The conversation to go on with, made of the one that was found."""
    options = setup.options
    if options.resume_session_at:
        cut = source.until(options.resume_session_at)
        if cut is None:
            return _refuse(UNKNOWN_MESSAGE.format(options.resume_session_at), source.session_id, setup)
        if options.resume_drops_turn is not None:
            more = _cut_off(source, options.resume_session_at, options.resume_drops_turn)
            if more is not None:
                return _refuse(f"{REJECTED} {more}", source.session_id, setup)
        source = cut
    if options.fork_session:
        source = source.fork(options.session_id or setup.new_id())
    source.mend()
    return source


def _cut_off(source: Transcript, at: str, prompt: str) -> str | None:
    """Why a cut takes away something else than the turn of one prompt; None when that is all."""
    index = next(index for index, entry in enumerate(source.entries) if at in entry.uuids)
    rest = source.entries[index + 1 :]
    begun = [
        entry
        for entry in rest
        if entry.role == "user"
        and (isinstance(entry.content, str) or any(each in source.prompts for each in entry.uuids))
    ]
    if at != source.entries[index].uuids[-1] or not rest or not begun or rest[0] is not begun[0]:
        return f"what comes after {at} does not begin with a prompt"
    if prompt not in begun[0].uuids:
        return f"the turn after {at} is not that of {prompt}"
    return "there is more than one turn to be cut off" if len(begun) > 1 else None


def _check_ids(setup: EngineSetup) -> str | None:
    options = setup.options
    follows = options.continue_conversation or options.resume
    if options.resume_session_at and not options.resume:
        return NEEDS_RESUME
    if options.resume_drops_turn is not None and not options.resume_session_at:
        return NEEDS_CUT
    if options.session_id is None:
        return None
    if follows and not options.fork_session:
        return NEEDS_FORK
    if not is_uuid(options.session_id):
        return INVALID_ID
    return ID_IN_USE.format(options.session_id) if options.session_id in setup.transcripts else None


def is_uuid(text: str) -> bool:
    """Whether it is a UUID in its usual form of 36 characters."""
    try:
        UUID(text)
    except ValueError:
        return False
    return len(text) == 36


def _refuse(text: str, session_id: str, setup: EngineSetup) -> Refusal:
    result = ResultMessage(
        subtype="error_during_execution",
        duration_ms=0,
        duration_api_ms=0,
        is_error=True,
        num_turns=0,
        session_id=session_id,
        total_cost_usd=0,
        uuid=setup.new_id(),
        errors=[text],
        result_index=0,
    )
    return Refusal(text, result)
