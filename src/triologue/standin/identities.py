"""Which conversation a command line may name, as each vendor's program has it."""

from triologue.engine.identity import is_uuid, working_directory
from triologue.engine.transcripts import TranscriptStore
from triologue.options import Options
from triologue.standin.grammar import UsageError

QODER_REFUSAL = 42
"""What Qoder ends with when the flags are known, but do not go together or name nothing."""


def check_identity(dialect: str, options: Options) -> None:
    """Refuse what can be told from the flags alone, and the engine does not refuse in these words.

    Raises:
        UsageError: it cannot be.
    """
    if dialect == "qoder":
        _check_qoder(options)
    elif options.resume_session_at and not options.resume:
        raise UsageError("Error: --resume-session-at requires --resume")
    elif options.resume_drops_turn is not None and not options.resume_session_at:
        raise UsageError("Error: --resume-drops-turn requires --resume-session-at")


def _check_qoder(options: Options) -> None:
    follows = options.continue_conversation or options.resume
    if options.continue_conversation and options.resume:
        raise UsageError("Cannot combine --continue, --resume, --remote, --remote-session, and --teleport.")
    problem = None
    if options.session_id is not None and not is_uuid(options.session_id):
        problem = "Invalid session ID. Must be a valid UUID."
    elif options.session_id is not None and follows and not options.fork_session:
        problem = "--session-id can only be used with --continue or --resume when --fork-session is also specified."
    elif options.fork_session and not follows:
        problem = "--fork-session must be used with --continue or --resume."
    elif options.resume_session_at and not options.resume:
        problem = "--resume-session-at must be used with --resume."
    elif options.resume_drops_turn is not None and not options.resume_session_at:
        problem = "--resume-drops-turn must be used with --resume-session-at."
    if problem is not None:
        raise UsageError(problem, QODER_REFUSAL)


def check_source(dialect: str, options: Options, transcripts: TranscriptStore) -> None:
    """Refuse a conversation that is not there, where the vendor says so without any frame.

    Args:
        dialect: whose program this is.
        options: what it was started with.
        transcripts: where the conversation to go on with should be.

    Raises:
        UsageError: there is none.
        StoreError: it cannot be read.
    """
    if dialect != "qoder":
        return
    if options.continue_conversation and transcripts.latest(working_directory(options)) is None:
        raise UsageError("No conversation found to continue", QODER_REFUSAL)
    if options.resume and transcripts.get(options.resume) is None:
        raise UsageError(f'Error resuming session: Invalid session identifier "{options.resume}".', QODER_REFUSAL)
