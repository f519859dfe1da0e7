"""Histories whose new lines the host is told too, for hosts that keep them elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import final

from triologue.engine.histories import ABOUT_AGENT, DiskTranscripts
from triologue.engine.histories.writing import encode_line, metadata_of
from triologue.engine.transcripts import Transcript
from triologue.messages import TranscriptMirror


@final
class MirroredTranscripts:
    """Histories on disk, with a `transcript_mirror` for whatever is written.

    Args:
        kept: the histories.
        tell: takes each frame; what is written in a turn is told before its result.
    """

    def __init__(self, kept: DiskTranscripts, tell: Callable[[TranscriptMirror], None]) -> None:
        self._kept = kept
        self._tell = tell

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._kept

    def get(self, session_id: str) -> Transcript | None:
        """The conversation of this id."""
        return self._kept.get(session_id)

    def latest(self, cwd: str) -> Transcript | None:
        """The conversation of this folder that was written last."""
        return self._kept.latest(cwd)

    def keep(self, transcript: Transcript) -> None:
        """Append what is new, and tell it."""
        path = self._path(transcript)
        start = path.stat().st_size if path is not None and path.exists() else 0
        self._kept.keep(transcript)
        path = self._path(transcript)
        if path is None or not path.exists():
            return
        with path.open("rb") as file:
            file.seek(start)
            lines = [line for line in file.read().splitlines() if line]
        if transcript.agent is not None and not start:
            lines.insert(0, encode_line({"type": ABOUT_AGENT, **metadata_of(transcript.agent)}))
        if lines:
            self._tell(TranscriptMirror.of(str(path), lines, session_id=transcript.session_id))

    def forget(self, session_id: str) -> None:
        """Delete a conversation."""
        self._kept.forget(session_id)

    def _path(self, transcript: Transcript) -> Path | None:
        path = self._kept.path(transcript.session_id)
        if path is None or transcript.agent is None:
            return path
        return path.with_suffix("") / "subagents" / f"agent-{transcript.agent.id}.jsonl"
