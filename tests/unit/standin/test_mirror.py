"""Histories of the agent as a program, told to its host as they are written."""

import json
from pathlib import Path

from triologue.engine import Transcript
from triologue.engine.histories import CLAUDE, DiskTranscripts
from triologue.engine.transcripts import SubAgent
from triologue.messages import TranscriptMirror
from triologue.standin.mirror import MirroredTranscripts

A = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


def test_what_a_sub_agent_is_comes_before_what_it_did(tmp_path: Path) -> None:
    told: list[TranscriptMirror] = []
    kept = MirroredTranscripts(DiskTranscripts(CLAUDE, env={"CLAUDE_CONFIG_DIR": str(tmp_path)}), told.append)
    said = Transcript(A, "/here")
    said.add("user", "go", ["u1"])
    kept.keep(said)
    scout = Transcript(A, "/here", agent=SubAgent(id="a1", kind="scout", tool_use_id="t1"))
    for uuid in ("u2", "u3"):
        scout.add("user", "look", [uuid])
        kept.keep(scout)
    assert [[entry["type"] for entry in mirror.entries] for mirror in told] == [
        ["user", "last-prompt"],
        ["agent_metadata", "user"],
        ["user"],
    ]
    (file,) = tmp_path.rglob("agent-a1.jsonl")
    assert told[1].file_path == told[2].file_path == str(file)
    assert [line for mirror in told[1:] for line in mirror.lines][1:] == file.read_bytes().splitlines()
    assert {"type": "agent_metadata", **json.loads(file.with_suffix(".meta.json").read_text())} == told[1].entries[0]
