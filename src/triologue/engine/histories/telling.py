"""Conversations in memory whose lines a host keeps: it is told what is new, and gives back what it kept."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import final

from triologue.engine.histories.reading import ABOUT_AGENT, read_history
from triologue.engine.histories.writing import (
    bookkeeping,
    encode_line,
    find_news,
    frames_of,
    metadata_of,
    new_lines,
    note_written,
    written_of,
)
from triologue.engine.transcripts import Transcript, Transcripts, Written
from triologue.messages import TranscriptMirror


@final
class ToldTranscripts:
    """Conversations in memory, with a `transcript_mirror` for whatever is new in one.

    The lines are those that `DiskTranscripts` writes, and so are the names of their files, within a project's folder.
    Telling costs no more than there is to tell, however long the conversation is.

    Args:
        kept: the conversations. What sub-agents did is not kept there, but told.
        tell: takes each frame; what is said in a turn is told before its result.
    """

    def __init__(self, kept: Transcripts, tell: Callable[[TranscriptMirror], object]) -> None:
        self._kept = kept
        self._tell = tell

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._kept

    def get(self, session_id: str) -> Transcript | None:
        """The conversation of this id."""
        return self._kept.get(session_id)

    def latest(self, cwd: str) -> Transcript | None:
        """The conversation of this folder in which something was said last. What of it is kept is not known: all is told."""
        found = self._kept.latest(cwd)
        if found is not None:
            found.written = None
        return found

    def keep(self, transcript: Transcript) -> None:
        """Tell what is new."""
        written = transcript.written or Written()
        news = find_news(transcript, written)
        lines = new_lines(transcript, written, news, {}, now=datetime.now(UTC), version="0")
        path = f"{transcript.session_id}.jsonl"
        if transcript.agent is None:
            lines += bookkeeping(transcript, written, news, marks_leaf=False)
        else:
            path = f"{transcript.session_id}/subagents/agent-{transcript.agent.id}.jsonl"
            if not written.uuids:
                lines.insert(0, {"type": ABOUT_AGENT, **metadata_of(transcript.agent)})
        note_written(transcript, written, news)
        transcript.written = written
        self._kept.keep(transcript)
        if lines:
            self._tell(TranscriptMirror.of(path, map(encode_line, lines), session_id=transcript.session_id))

    def forget(self, session_id: str) -> None:
        """Drop a conversation."""
        self._kept.forget(session_id)


def take_back(kept: Transcripts, session_id: str, lines: Iterable[bytes], last: str | None) -> None:
    """See that a conversation in memory is at least what its host kept of it, and that the rest will be told.

    It is made anew from the lines where it is not there, or where it went on elsewhere: in another process, say.

    Args:
        kept: the conversations.
        session_id: whose lines they are.
        lines: all that were kept, in their order.
        last: the uuid of the last of those that have one; None: nothing is kept.
    """
    known = kept.get(session_id)
    if last is None:
        if known is not None:
            known.written = None
        return
    if known is not None and _has(known, last):
        return
    history = read_history(session_id, b"\n".join(lines), honors_leaf=False)
    if history is None:
        return  # nobody could go on with it, and who asks for the conversation hears that there is none
    history.transcript.written = written = written_of(history.transcript)
    written.last_prompt = history.last_prompt
    kept.keep(history.transcript)


def _has(transcript: Transcript, last: str) -> bool:
    """Whether all that is kept is in it; then it is noted that no more than that was told."""
    told = transcript.written.uuids if transcript.written is not None else {}
    if told and next(reversed(told)) == last:
        return True
    uuids = dict.fromkeys(frame.uuid for frame in frames_of(transcript))
    if last not in uuids:
        return False
    while next(reversed(uuids)) != last:
        uuids.popitem()
    transcript.written = Written(uuids=uuids, has_prompts=True)
    return True
