"""What the agent says in the benchmarks: made here, the same on every machine, in the shapes that the real CLI writes.

A *turn* is the bytes of one answer: `system/init`, the messages, one `result`. Two placeholders of fixed width stand in
it, `SESSION_ID` and `PROMPT_IDS`; whoever plays the turn writes the real values over them (`player.c`, `script.py`).
"""

import json
import math
import random
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

SESSION_ID: Final = "5e551011-0000-4000-8000-000000000000"
PROMPT_ID: Final = "9109f700-0000-4000-8000-000000000000"
# Members, with their comma: a frame without them is still JSON when they are overwritten by spaces, which is
# what a prompt without a uuid gets.
PROMPT_IDS: Final = f'"user_message_uuid":"{PROMPT_ID}","user_message_uuids":["{PROMPT_ID}"],'.encode()

CORPUS_BYTES: Final = 16 * 2**20
TURN_LINES: Final = 131

Frame = dict[str, Any]

MODEL = "claude-opus-5-5"
PROSE = (
    "the a of to in is that for it as with on be this by from at or an are which we you not have was can if each its into "
    "than then session turn message agent queue cursor stream result value returns because however therefore instead "
    "between without naïve “quoted” function module connection deadline process budget request response permission "
    "default option while before after"
)
WORDS = PROSE.split()
CODE = (
    "    for line in lines:",
    '        name, _, value = line.partition("=")',
    "        if not value.strip():",
    "            continue",
    '        settings[name.strip()] = value.strip().strip("\\"\'")',
    "",
    "def read(path: Path, *, encoding: str = 'utf-8') -> dict[str, str]:",
    '    """Read key=value lines; a later line wins."""',
    "\tif (fd < 0 || fstat(fd, &st) != 0) { perror(path); return -1; }",
    "    return settings  # → see docs/settings.md",
)


def partial(size: int = CORPUS_BYTES) -> bytes:
    """One long turn with partial messages: about 600 B a message, 93 % of them stream events."""
    return _fill(_Speaker(seed=1, partials=True), size)


def coarse(size: int = CORPUS_BYTES) -> bytes:
    """One long turn without partials, heavy with tools: 5.4 KB a message; each result, of 2 to 20 KB, is told twice."""
    return _fill(_Speaker(seed=2, partials=False), size)


def turn(lines: int = TURN_LINES) -> bytes:
    """One ordinary turn with partial messages: two tool calls and an answer, `lines` lines in all, about 85 KB."""
    speaker = _Speaker(seed=12, partials=True)
    frames = [speaker.init(), *speaker.call(tool=True), *speaker.call(tool=True)]
    # The last call has seven frames around its deltas, and the result closes the turn.
    frames += speaker.call(tool=False, deltas=lines - len(frames) - 8)
    return _encode([*frames, speaker.result()])


def flood(messages: int) -> bytes:
    """One turn of `messages` text deltas and little else."""
    speaker = _Speaker(seed=4, partials=True)
    return _encode([speaker.init(), *speaker.call(tool=False, deltas=messages), speaker.result()])


def initialize_response() -> bytes:
    """The answer to `initialize` as one JSON object, about as large as the recorded one (15 KB)."""
    words = random.Random(5)

    def describe(count: int) -> Frame:
        return {"description": " ".join(words.choices(WORDS, k=count))}

    body = {
        "commands": [{"name": f"command-{i}", **describe(38), "argumentHint": "", "builtin": True} for i in range(44)],
        "agents": [{"name": f"agent-{i}", **describe(40)} for i in range(5)],
        "output_style": "default",
        "available_output_styles": ["default", "Proactive", "Concise", "Explanatory", "Learning"],
        "models": [
            {"value": f"model-{i}", "resolvedModel": MODEL, **describe(12), "supportsEffort": True} for i in range(5)
        ],
        "account": {"tokenSource": "none", "apiKeySource": "ANTHROPIC_API_KEY", "apiProvider": "firstParty"},
        "pid": 1,
        "claude_code_version": "2.1.329",
        "current_permission_mode": "default",
        "hook_on_failure_supported": True,
        "session_state": "idle",
        "capabilities": ["ui_surface_v1", "reload_plugins_refuse_if_busy_v1", "get_usage_detached_v1"],
    }
    return _dumps(body)


def _fill(speaker: "_Speaker", size: int) -> bytes:
    frames = [speaker.init()]
    written = 0
    while written < size:
        call = speaker.call(tool=True)
        written += len(_encode(call))
        frames += call
    return _encode([*frames, *speaker.call(tool=False), speaker.result()])


def _dumps(frame: Frame) -> bytes:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()


def _encode(frames: list[Frame]) -> bytes:
    marker = _dumps({"user_message_uuids": None})[1:-1] + b","
    return b"".join(_dumps(frame).replace(marker, PROMPT_IDS) + b"\n" for frame in frames)


class _Speaker:
    """Makes the frames of one turn, one model call after the other."""

    def __init__(self, *, seed: int, partials: bool) -> None:
        self.random = random.Random(seed)
        self.partials = partials
        self.calls = 0
        # Only the first frames of a turn name the prompts that they answer.
        self.unnamed = {"stream_event", "assistant"}

    def init(self) -> Frame:
        """The first frame of a turn."""
        names = [f"{word}-{i}" for i, word in enumerate(WORDS[:60])]
        return {
            "type": "system",
            "subtype": "init",
            "cwd": "/home/user/dir",
            "session_id": SESSION_ID,
            "tools": names[:30],
            "mcp_servers": [],
            "model": MODEL,
            "permissionMode": "default",
            "slash_commands": names,
            "apiKeySource": "ANTHROPIC_API_KEY",
            "claude_code_version": "2.1.329",
            "output_style": "default",
            "agents": ["claude", "Explore", "general-purpose"],
            "skills": names[20:50],
            "plugins": [],
            "capabilities": ["interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1"],
            "uuid": self.uuid(),
            "original_cwd": "/home/user/dir",
            "fast_mode_state": "off",
        }

    def call(self, *, tool: bool, deltas: int | None = None) -> list[Frame]:
        """One model call: its blocks, and what the tool gave."""
        self.calls += 1
        # Recorded with partials only: the request is announced.
        frames = [self.system("status", status="requesting")] if self.partials else []
        frames += self.event({"type": "message_start", "message": self.message([])}, ttft_ms=8)
        # Every second call thinks before it speaks. The signature, recorded as a delta too, is only in the whole block.
        thinks = tool and (self.calls % 2 == 0 or not self.partials)
        if thinks:
            parts = [self.prose() for _ in range(self.random.randint(5, 20))]
            frames += self.block(
                0, {"type": "thinking"}, "thinking", "thinking_delta", parts, signature="c2lnbmF0dXJl" * 20
            )
        words = deltas if deltas is not None else self.random.randint(12, 42)
        frames += self.block(int(thinks), {"type": "text"}, "text", "text_delta", [self.prose() for _ in range(words)])
        if tool:
            frames += self.tool_use(1 + thinks)
        usage = {"output_tokens": words}
        delta = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
        frames += self.event({"type": "message_delta", "delta": delta, "usage": usage})
        frames += self.event({"type": "message_stop"})
        return [*frames, self.tool_result()] if tool else frames

    def block(self, index: int, start: Frame, field: str, delta: str, parts: list[str], **rest: Any) -> list[Frame]:
        """A content block: its deltas, and the message with the whole of it just before the stop."""
        empty: Any = {} if field == "input" else ""
        frames = self.event({"type": "content_block_start", "index": index, "content_block": {**start, field: empty}})
        name = "partial_json" if field == "input" else field
        for part in parts:
            frames += self.event({"type": "content_block_delta", "index": index, "delta": {"type": delta, name: part}})
        whole: Any = json.loads("".join(parts)) if field == "input" else "".join(parts)
        frames.append(self.assistant({**start, field: whole, **rest}))
        return frames + self.event({"type": "content_block_stop", "index": index})

    def tool_use(self, index: int) -> list[Frame]:
        """The last block of a call; its input comes in pieces."""
        made = json.dumps(
            {"file_path": f"/home/user/dir/file{self.calls}.py", "content": self.code(self.random.randint(100, 900))}
        )
        cuts = [0, *sorted(self.random.sample(range(1, len(made)), len(made) // 40)), len(made)]
        parts = [made[start:end] for start, end in pairwise(cuts)]
        start = {"type": "tool_use", "id": f"toolu_{self.calls:06}", "name": "Write"}
        return self.block(index, start, "input", "input_json_delta", parts)

    def tool_result(self) -> Frame:
        """What the tool gave, twice: as the model sees it, and as the program does."""
        low, high = (3_000, 13_500) if self.partials else (2_000, 20_000)
        text = self.code(int(math.exp(self.random.uniform(math.log(low), math.log(high)))))
        numbered = "\n".join(f"{number}\t{line}" for number, line in enumerate(text.split("\n"), 1))
        lines = text.count("\n") + 1
        file = {
            "filePath": "/home/user/dir/r.py",
            "content": text,
            "numLines": lines,
            "startLine": 1,
            "totalLines": lines,
        }
        tool = f"toolu_{self.calls:06}"
        decision = {"decision": "accept", "source": "config", "reason_type": "mode"}
        return {
            "type": "user",
            "message": {"role": "user", "content": [{"tool_use_id": tool, "type": "tool_result", "content": numbered}]},
            "parent_tool_use_id": None,
            "session_id": SESSION_ID,
            "uuid": self.uuid(),
            "timestamp": "2026-11-20T23:24:39.580Z",
            "tool_use_result": {"type": "text", "file": file},
            "tool_result_meta": [{"id": tool, "permission_decision": decision}],
        }

    def event(self, event: Frame, **rest: Any) -> list[Frame]:
        """A raw event of the Messages API; none without partials."""
        if not self.partials:
            return []
        frame = {"type": "stream_event", "event": event, "session_id": SESSION_ID, "parent_tool_use_id": None}
        return [
            {
                **frame,
                **self.naming("stream_event"),
                "uuid": self.uuid(),
                **rest,
                "api_message_id": f"msg_{self.calls:06}",
            }
        ]

    def assistant(self, block: Frame) -> Frame:
        """A complete block."""
        return {
            "type": "assistant",
            "message": {**self.message([block]), "context_management": None},
            "parent_tool_use_id": None,
            "session_id": SESSION_ID,
            **self.naming("assistant"),
            "uuid": self.uuid(),
            "timestamp": "2026-11-20T23:24:39.533Z",
            "request_id": f"req_{self.calls}",
        }

    def result(self) -> Frame:
        """The last frame; in the recorded order, `type` in its middle."""
        usage = {
            "inputTokens": 20,
            "outputTokens": 10,
            "cacheReadInputTokens": 0,
            "costUSD": 0.00028,
            "contextWindow": 1_000_000,
        }
        return {
            "duration_api_ms": 42,
            "stop_reason": "end_turn",
            "session_id": SESSION_ID,
            "total_cost_usd": 0.00028,
            "usage": {
                "input_tokens": 20,
                "cache_read_input_tokens": 0,
                "output_tokens": 10,
                "service_tier": "standard",
            },
            "modelUsage": {MODEL: usage},
            "permission_denials": [],
            "terminal_reason": "completed",
            "is_error": False,
            "num_turns": self.calls,
            "subtype": "success",
            "api_error_status": None,
            "result": self.prose(),
            "ttft_ms": 61,
            "type": "result",
            "duration_ms": 129,
            "uuid": self.uuid(),
            "user_message_uuids": None,
            "queued_turn_count": 0,
            "result_index": 0,
            "model_usage_since_last_result": {MODEL: usage},
        }

    def system(self, subtype: str, **rest: Any) -> Frame:
        """A frame about the session."""
        return {"type": "system", "subtype": subtype, **rest, "session_id": SESSION_ID, "uuid": self.uuid()}

    def message(self, content: list[Frame]) -> Frame:
        """A message of the Messages API as far as it has come."""
        head = {
            "id": f"msg_{self.calls:06}",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": content,
        }
        return {**head, "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}

    def naming(self, kind: str) -> Frame:
        """The place for the prompt's id, in the first frame of its kind."""
        if kind not in self.unnamed:
            return {}
        self.unnamed.remove(kind)
        return {"user_message_uuids": None}

    def uuid(self) -> str:
        """A uuid that is the same in every run."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def prose(self) -> str:
        """A few words, as one delta brings them."""
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, 12))) + " "

    def code(self, characters: int) -> str:
        """Lines of code, about `characters` long: quotes, tabs and newlines to escape."""
        return "\n".join(self.lines(characters))[:characters]

    def lines(self, characters: int) -> Iterator[str]:
        """Lines until there are enough."""
        while characters > 0:
            line = self.random.choice(CODE)
            characters -= len(line) + 1
            yield line


def main() -> None:
    """Show what each corpus consists of."""
    for name, data in (("partial", partial()), ("coarse", coarse()), ("turn", turn())):
        lines = data.splitlines()
        events = sum(line.startswith(b'{"type":"stream_event"') for line in lines)
        size, count = len(data), len(lines)
        print(f"{name}: {size:,} B, {count:,} messages of {size // count:,} B, {events / count:.0%} stream events")
    print(f"initialize: {len(initialize_response()):,} B")


if __name__ == "__main__":
    main()
