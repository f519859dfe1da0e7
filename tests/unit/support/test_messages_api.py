"""The stub of the Messages API, asked by a raw client as an agent would."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import h11
import pytest
import trio

from tests.support.messages_api import MessagesApi, open_messages_api
from tests.support.script import letters

Message = dict[str, Any]


@pytest.fixture
async def api() -> AsyncGenerator[MessagesApi]:
    async with open_messages_api() as api:
        yield api


class Reply:
    """One reply as it came: status, headers, body, and whether it was complete."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_complete = False

    @property
    def events(self) -> list[Message]:
        lines = self.body.decode().splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        deltas = [event["delta"] for event in self.events if event["type"] == "content_block_delta"]
        return "".join(delta.get("text", "") for delta in deltas)

    @property
    def shape(self) -> list[str]:
        """The types of the events, with a run of equal ones as one."""
        types = [event["type"] for event in self.events]
        return [kind for index, kind in enumerate(types) if types[index - 1 : index] != [kind]]


class Client:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._connection = h11.Connection(h11.CLIENT)
        self.reply = Reply()

    async def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        await self.start(method, path, body, headers)
        return await self.read()

    async def start(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        self.reply = Reply()
        all_headers = {"host": "stub", "content-length": str(len(body)), **(headers or {})}
        head = h11.Request(method=method, target=path, headers=list(all_headers.items()))
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            await self._stream.send_all(self._connection.send(event) or b"")

    async def read(self) -> Reply:
        """Reads to the end of the reply or of the connection."""
        while not self.reply.is_complete:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError:
                break
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._stream.receive_some())
            elif isinstance(event, h11.Response):
                self.reply.status = event.status_code
                self.reply.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                self.reply.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.reply.is_complete = True
            else:
                break
        return self.reply

    async def aclose(self) -> None:
        await self._stream.aclose()


async def connect(api: MessagesApi) -> Client:
    return Client(await trio.open_tcp_stream("127.0.0.1", int(api.url.rpartition(":")[2])))


def request_of(messages: list[Message], *, stream: bool = True, **more: object) -> bytes:
    return json.dumps({"model": "m", "stream": stream, "messages": messages, **more}).encode()


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def assistant(content: Any) -> Message:
    return {"role": "assistant", "content": content}


async def ask(api: MessagesApi, *messages: Message, stream: bool = True, **more: object) -> Reply:
    """One request on a connection of its own; a bare prompt may stand for its message."""
    client = await connect(api)
    async with client._stream:
        return await client.ask("POST", "/v1/messages", request_of(list(messages), stream=stream, **more))


# --- how a reply goes out


async def test_a_streamed_answer_is_the_event_stream_of_the_real_api(api: MessagesApi) -> None:
    reply = await ask(api, user("[[say hello there]]"))
    message = {"id": f"msg_stub_{api.url.rpartition(':')[2]}_1", "type": "message", "role": "assistant", "model": "m"}
    assert (reply.status, reply.headers["content-type"], reply.is_complete) == (200, "text/event-stream", True)
    assert reply.events == [
        {
            "type": "message_start",
            "message": {
                **message,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 1},
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 10, "output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


async def test_a_whole_answer_is_one_json_message(api: MessagesApi) -> None:
    prompt = '[[usage 7 9]] [[thinking hm]] [[say hello there]] [[tool Read {"a": [[1]]}]]'
    reply = await ask(api, user(prompt), stream=False)
    port = api.url.rpartition(":")[2]
    assert reply.json == {
        "id": f"msg_stub_{port}_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c3R1Yg=="},
            {"type": "text", "text": "hello there"},
            {"type": "tool_use", "id": f"toolu_stub_{port}_1_2", "name": "Read", "input": {"a": [[1]]}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 9},
    }


async def test_one_connection_carries_many_requests(api: MessagesApi) -> None:
    client = await connect(api)
    async with client._stream:
        for number in range(3):
            reply = await client.ask("POST", "/v1/messages", request_of([user(f"[[say {number}]]")]))
            assert reply.text == str(number)
    assert [request.number for request in api.requests] == [1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 65_537, 10_000_000])
async def test_an_answer_has_exactly_the_bytes_asked_for(api: MessagesApi, count: int) -> None:
    assert (await ask(api, user(f"[[bytes {count}]]"))).text == letters(count)


async def test_words_are_numbered(api: MessagesApi) -> None:
    assert (await ask(api, user("[[words 3 delay 0.001]]"))).text == "word1 word2 word3"


# --- which reply


async def test_without_a_script_the_answer_recalls_all_prompts(api: MessagesApi) -> None:
    history = [user("first"), assistant("x"), user([{"type": "text", "text": "second\n"}]), assistant("y")]
    reminder = {"type": "text", "text": "<system-reminder>\nnot a prompt\n</system-reminder>\n"}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    noted = [
        reminder,
        {"type": "text", "text": "[Request interrupted by user]\n"},
        image,
        {"type": "text", "text": "third"},
    ]
    assert (await ask(api, *history, user(noted))).text == "echo[4]: first | second | <image/png> | third"


async def test_the_reply_is_chosen_by_the_calls_since_the_prompt(api: MessagesApi) -> None:
    script = 'do [[tool Bash {"command": "ls"}]] [[and tool Read]] [[results]] [[end max_tokens]] [[then done]]'
    turn = [user("[[say old]]"), assistant("old"), user(script)]
    first = await ask(api, *turn)
    starts = [event["content_block"] for event in first.events if event["type"] == "content_block_start"]
    assert [(block["type"], block["name"]) for block in starts] == [("tool_use", "Bash"), ("tool_use", "Read")]
    assert first.events[-2]["delta"]["stop_reason"] == "tool_use"

    steer = "The user sent a new message while you were working:\nhurry\n\nThis is how Claude Code surfaces messages"
    calls = [{"type": "tool_use", "id": "1"}, {"type": "tool_use", "id": "2"}]
    results = [
        {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "b"}]},
        {"type": "tool_result", "tool_use_id": "1", "content": "a"},
    ]
    turn += [assistant(calls), user(results), {"role": "system", "content": steer}]
    second = await ask(api, *turn)
    assert second.text == "a | b"
    assert second.events[-2]["delta"]["stop_reason"] == "max_tokens"

    turn += [assistant("a | b"), user("Output token limit hit. Resume directly")]
    assert (await ask(api, *turn)).text == "done"
    turn += [assistant("done"), user("<system-reminder>a task has ended</system-reminder>")]
    assert (await ask(api, *turn)).text == f"echo[3]: [[say old]] | {script} | hurry"


async def test_an_empty_reply_counts_although_it_is_not_kept(api: MessagesApi) -> None:
    nudge = {"type": "text", "text": "[Your previous response had no visible output. Please continue]"}
    prompt = {"type": "text", "text": "[[end]] [[then seen]]\n"}
    assert (await ask(api, user([prompt]))).shape == ["message_start", "ping", "message_delta", "message_stop"]
    assert (await ask(api, user([prompt, nudge]))).text == "seen"
    assert (await ask(api, user([prompt]), assistant("kept"), user([nudge]))).text == "seen"


@pytest.mark.parametrize(
    "script", ["[[shout]]", "[[say x", '[[tool X {"a": }]]', "[[tool X {} and more]]", "[[hang later]]"]
)
async def test_a_script_that_is_none_is_a_clear_api_error(api: MessagesApi, script: str) -> None:
    reply = await ask(api, user(script))
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")


# --- faults


async def test_an_error_before_anything_is_a_status(api: MessagesApi) -> None:
    reply = await ask(api, user('[[error 429 "slow down" retry-after 2]]'))
    assert (reply.status, reply.headers["retry-after"]) == (429, "2")
    assert reply.json == {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    await api.wait_request(lambda request: request.ending == "failed")


async def test_an_error_behind_text_is_an_event(api: MessagesApi) -> None:
    reply = await ask(api, user("[[say so far]] [[error 529]]"))
    assert reply.text == "so far"
    assert reply.events[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "scripted error"}}


async def test_faults_happen_as_often_as_they_say(api: MessagesApi) -> None:
    prompt = user("[[error 529 times 2]] [[drop mid times 1]] [[say well]]")
    replies = [await ask(api, prompt) for _ in range(4)]
    assert [(reply.status, reply.is_complete) for reply in replies] == [
        (529, True),
        (529, True),
        (200, False),
        (200, True),
    ]
    assert [reply.text for reply in replies] == ["", "", "partial ", "well"]
    await api.wait_request(lambda request: request.ending == "answered")
    assert [request.ending for request in api.requests] == ["failed", "failed", "dropped", "answered"]


@pytest.mark.parametrize(
    ("where", "status", "shape"),
    [
        ("before headers", 0, []),
        ("after headers", 200, []),
        ("mid", 200, ["message_start", "ping", "content_block_start", "content_block_delta"]),
    ],
)
async def test_a_drop_cuts_the_connection_where_it_says(
    api: MessagesApi, where: str, status: int, shape: list[str]
) -> None:
    reply = await ask(api, user(f"[[drop {where}]]"))
    assert (reply.status, reply.shape, reply.is_complete) == (status, shape, False)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("where", ["before headers", "after headers", "mid"])
async def test_a_hang_ends_when_the_client_leaves(api: MessagesApi, where: str, *, stream: bool) -> None:
    client = await connect(api)
    await client.start("POST", "/v1/messages", request_of([user(f"[[hang {where}]]")], stream=stream))
    request = await api.wait_request(lambda request: request.is_turn)
    assert request.ending is None
    await client.aclose()
    assert await api.wait_request(lambda request: request.ending == "client left") is request


async def test_leaving_the_block_cuts_what_hangs() -> None:
    async with open_messages_api() as api:
        client = await connect(api)
        await client.start("POST", "/v1/messages", request_of([user("[[hang mid]]")]))
        await api.wait_request(lambda _: True)
    async with client._stream:
        assert not (await client.read()).is_complete


# --- gates


async def test_a_gate_holds_a_reply_until_it_is_released(api: MessagesApi) -> None:
    client = await connect(api)
    async with client._stream:
        await client.start("POST", "/v1/messages", request_of([user("[[say a]] [[wait gate]] [[say b]]")]))
        await api.wait_reached("gate")
        assert api.requests[0].ending is None
        api.release("gate")
        assert (await client.read()).text == "ab"
    assert (await ask(api, user("[[wait gate]] [[say open]]"))).text == "open"


async def test_waiting_in_vain_says_what_came_instead(api: MessagesApi) -> None:
    await ask(api, user("something"))
    with pytest.raises(AssertionError, match="something"):
        await api.wait_request(lambda _: False, patience=0)
    with pytest.raises(AssertionError, match="gate"):
        await api.wait_reached("gate", patience=0)


# --- what is no turn


async def test_side_requests_get_neutral_answers(api: MessagesApi) -> None:
    claude = {"user-agent": "claude-cli/2.1.329 (external, sdk-cli)"}
    schema = {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}
    bodies = {
        "structured": request_of([user("<session>[[say x]]</session>")], output_config={"format": schema}),
        "compaction": request_of(
            [user("one"), assistant("x"), user("CRITICAL: Respond with TEXT ONLY. Do NOT")], thinking={}
        ),
        "question": request_of(
            [user([{"type": "text", "text": "<system-reminder>This is a side question"}])], thinking={}
        ),
        "other": request_of([user("Perform a web search for the query: [[say x]]")]),
    }
    client = await connect(api)
    async with client._stream:
        answers = {side: (await client.ask("POST", "/v1/messages", bodies[side], claude)).text for side in bodies}
    assert answers == {
        "structured": '{"title": "stub title"}',
        "compaction": "<summary>echo[1]: one</summary>",
        "question": "stub answer (question)",
        "other": "stub answer (other)",
    }
    assert [request.side for request in api.requests] == list(bodies)
    assert api.turns == []


async def test_other_paths(api: MessagesApi) -> None:
    client = await connect(api)
    async with client._stream:
        assert (await client.ask("HEAD", "/")).status == 200
        assert (await client.ask("POST", "/v1/messages/count_tokens?beta=true", b"x" * 400)).json == {
            "input_tokens": 100
        }
        assert (await client.ask("GET", "/v1/models")).json["data"] == []
        assert (await client.ask("GET", "/elsewhere")).status == 404
    assert [(request.method, request.path) for request in api.strays] == [("GET", "/elsewhere")]


async def test_what_is_no_http_is_refused(api: MessagesApi) -> None:
    client = await connect(api)
    async with client._stream as stream:
        await stream.send_all(b"hello?\r\n\r\n")
        answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 400")
