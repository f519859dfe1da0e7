"""Histories as the vendors' programs write them."""

import json
from datetime import UTC, datetime
from typing import Any, final
from uuid import UUID

SESSION = str(UUID(int=7))
BEGAN = 1_700_000_000


@final
class HistoryFile:
    """Lines that follow each other, one second apart."""

    def __init__(self, session_id: str = SESSION) -> None:
        self.session_id = session_id
        self.lines: list[dict[str, Any]] = []

    def _link(self, kind: str, **more: Any) -> "HistoryFile":
        number = len(self.lines) + 1
        parent = next((line["uuid"] for line in reversed(self.lines) if "uuid" in line), None)
        stamp = datetime.fromtimestamp(BEGAN + number, UTC).isoformat().replace("+00:00", "Z")
        self.lines.append(
            {
                "type": kind,
                "uuid": str(UUID(int=number)),
                "parentUuid": parent,
                "isSidechain": False,
                "sessionId": self.session_id,
                "cwd": "/work/shop",
                "timestamp": stamp,
                **more,
            }
        )
        return self

    def user(self, content: str | list[Any], **more: Any) -> "HistoryFile":
        return self._link("user", message={"role": "user", "content": content}, **more)

    def assistant(self, *content: dict[str, Any], id: str = "m", **more: Any) -> "HistoryFile":
        usage = {"input_tokens": 10, "output_tokens": 5}
        message = {"role": "assistant", "id": id, "model": "m-1", "content": list(content), "usage": usage}
        return self._link("assistant", message=message, **more)

    def note(self, **line: Any) -> "HistoryFile":
        self.lines.append(line)
        return self

    def data(self) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def shopping() -> HistoryFile:
    """A conversation with a tool, an interrupt, and what stands between the messages."""
    history = HistoryFile()
    history.note(type="queue-operation", operation="enqueue")
    history.user("Buy milk")
    history.assistant(text("I will look."), id="m1")
    history.assistant({"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}, id="m1")
    history.user([{"type": "tool_result", "tool_use_id": "t1", "content": "milk"}], toolUseResult={"stdout": "milk"})
    history.assistant(text("Bought."), id="m2")
    history.user("caveat", isMeta=True)
    history.user("And eggs")
    history.user([text("[Request interrupted by user]")])
    history.note(type="custom-title", customTitle="Shopping  list", sessionId=SESSION)
    history.note(type="tag", tag="home", sessionId=SESSION)
    history.note(type="api-request-1", body="what was sent to the model")
    history.note(type="cost-state", totalCostUSD=0.25, modelUsage={})
    return history
