"""Playing one reply: the content of a message goes out as an event stream, or whole at the end."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, final

import trio

from tests.support.conversation import Conversation
from tests.support.http_server import Exchange
from tests.support.script import End, Item, Usage, Where

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
JSON = {"content-type": "application/json"}
EVENT_STREAM = {"content-type": "text/event-stream", "cache-control": "no-cache"}


@dataclass(frozen=True)
class Call:
    """What a reply needs to know of the request that it answers."""

    name: str
    """Unique among all replies of all stubs; message and tool ids are made of it."""
    model: str
    is_streaming: bool
    attempt: int
    """How often this very reply was asked for before."""


def error_body(status: int, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message}}


async def respond_json(exchange: Exchange, status: int, body: object, headers: dict[str, str] | None = None) -> None:
    await exchange.respond(status, json.dumps(body).encode(), {**JSON, **(headers or {})})


@final
class ReplyStage:
    """The model's side of one request; `play` performs a reply on it."""

    def __init__(
        self, exchange: Exchange, conversation: Conversation, call: Call, wait_gate: Callable[[str], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._conversation = conversation
        self._call = call
        self._wait_gate = wait_gate
        self._attempt = call.attempt
        self._usage = Usage()
        self._content: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        self._is_open = False
        self._is_announced = False
        self.is_over = False
        self.has_failed = False

    async def play(self, reply: list[Item]) -> None:
        """Plays the items in order; returns when the reply is complete, has failed or was cut."""
        self._usage = next((item for item in reply if isinstance(item, Usage)), self._usage)
        for item in reply:
            await item.play(self)
            if self.is_over:
                return
        has_tools = any(block["type"] == "tool_use" for block in self._content)
        default = "tool_use" if has_tools else "end_turn"
        await self._finish(next((item.reason for item in reply if isinstance(item, End)), default))

    async def text(self, piece: str) -> None:
        await self._open({"type": "text", "text": ""})
        self._pieces.append(piece)
        await self._delta({"type": "text_delta", "text": piece})

    async def thinking(self, text: str) -> None:
        await self._open({"type": "thinking", "thinking": "", "signature": ""})
        self._content[-1].update(thinking=text, signature="c3R1Yg==")
        await self._delta({"type": "thinking_delta", "thinking": text})
        await self._delta({"type": "signature_delta", "signature": "c3R1Yg=="})
        await self._close()

    async def tool(self, name: str, arguments: dict[str, Any]) -> None:
        await self._close()
        tool_id = f"toolu_{self._call.name}_{len(self._content)}"
        await self._open({"type": "tool_use", "id": tool_id, "name": name, "input": {}})
        self._content[-1]["input"] = arguments
        await self._delta({"type": "input_json_delta", "partial_json": json.dumps(arguments)})
        await self._close()

    async def reach(self, where: Where) -> None:
        """Sends just so much that the client is at this point of the reply, if it is not yet past it."""
        if where == "before headers":
            return
        if not self._exchange.is_started:
            await self._exchange.start(200, EVENT_STREAM if self._call.is_streaming else JSON)
        if where == "mid" and not self._call.is_streaming:
            await self._exchange.send(b'{"type": "message", ')
        elif where == "mid" and not self._content:
            await self.text("partial ")

    async def fail(self, status: int, message: str, retry_after: float | None) -> None:
        self.is_over = self.has_failed = True
        if self._exchange.is_started:
            await self._event(error_body(status, message))
            await self._exchange.finish()
            return
        headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        await respond_json(self._exchange, status, error_body(status, message), headers)

    async def wait(self, gate: str) -> None:
        await self._wait_gate(gate)

    def drop(self) -> None:
        self.is_over = True
        self._exchange.drop()

    def is_due(self, times: int | None) -> bool:
        """Whether a fault for the first `times` attempts (None: for all) happens in this one."""
        if times is None or self._attempt < times:
            return True
        self._attempt -= times
        return False

    def recall(self) -> str:
        return self._conversation.recall()

    def results(self) -> str:
        return " | ".join(self._conversation.results_in_order())

    async def _open(self, block: dict[str, Any]) -> None:
        if self._is_open and self._content[-1]["type"] == block["type"] == "text":
            return
        await self._close()
        self._is_open = True
        self._content.append(dict(block))
        await self._event(
            {"type": "content_block_start", "index": len(self._content) - 1, "content_block": block},
        )

    async def _delta(self, delta: dict[str, Any]) -> None:
        await self._event({"type": "content_block_delta", "index": len(self._content) - 1, "delta": delta})

    async def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._content[-1]["type"] == "text":
            self._content[-1]["text"] = "".join(self._pieces)
            self._pieces.clear()
        await self._event({"type": "content_block_stop", "index": len(self._content) - 1})

    async def _finish(self, stop_reason: str) -> None:
        await self._close()
        self.is_over = True
        if not self._call.is_streaming:
            await respond_json(
                self._exchange, 200, self._message(self._content, stop_reason, self._usage.output_tokens)
            )
            return
        usage = {"input_tokens": self._usage.input_tokens, "output_tokens": self._usage.output_tokens}
        delta = {"stop_reason": stop_reason, "stop_sequence": None}
        await self._event({"type": "message_delta", "delta": delta, "usage": usage})
        await self._event({"type": "message_stop"})
        await self._exchange.finish()

    async def _event(self, event: dict[str, Any]) -> None:
        if not self._call.is_streaming:
            # Nothing may be waited for without a chance to be cancelled, also when nothing is sent.
            await trio.lowlevel.checkpoint()
            return
        if not self._exchange.is_started:
            await self._exchange.start(200, EVENT_STREAM)
        if not self._is_announced:
            self._is_announced = True
            await self._send({"type": "message_start", "message": self._message([], None, 1)})
            await self._send({"type": "ping"})
        await self._send(event)

    async def _send(self, event: dict[str, Any]) -> None:
        await self._exchange.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def _message(self, content: list[dict[str, Any]], stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
        return {
            "id": f"msg_{self._call.name}",
            "type": "message",
            "role": "assistant",
            "model": self._call.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self._usage.input_tokens, "output_tokens": output_tokens},
        }
