"""Attacks over real sockets: each gets its code, nothing leaks, and the service stays up."""

import itertools
import resource
import time
from functools import partial
from typing import Any

import pytest
import trio

import triologue as tri
from tests.gateway.attacked import KEY_OF_ANOTHER, SECRET, assert_nothing_leaks, attacked
from tests.support.raw_socket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LOST,
    PING,
    TEXT,
    Raw,
    frame,
    noise,
    open_raw,
    text,
    upgrade,
)

HALF_OPEN = 5_000
SMALL = tri.GatewayLimits(frame_bytes=1 << 18)
SHORT = tri.GatewayLimits(hello=0.3)

# Tokens.


async def test_only_a_token_that_is_valid_opens(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target:
        id, secret = target.alice.split("_", 2)[1:]
        revoked = target.tokens.add("revoked")
        assert target.tokens.revoke(revoked)
        expired = target.tokens.add("expired", expires=time.time() - 1)
        wrong = [f"tri_{id}_{secret[:-1]}", f"tri_{id}_", f"tri_{id}", f"TRI_{id}_{secret}", f"tri__{secret}", secret]
        for token in [None, "", "\0", *wrong, f"{target.alice}\n", "x" * 10_000, revoked, expired]:
            async with open_raw(target.port) as raw:
                await raw.open(token)
                assert (await raw.closed(), raw.told) == (4401, [])
        for said in [
            {"type": "hello", "token": 7},
            {"type": "hello", "token": "x" * 20_000},
            {"type": "ping", "id": 1},
            "[]",
        ]:
            async with open_raw(target.port) as raw:
                await raw.send(upgrade(raw.host))
                assert await raw.status() == 101
                await raw.send(text(said))
                assert (await raw.closed(), raw.told) == (4400, [])


async def test_a_token_in_the_url_is_none(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.send(upgrade(raw.host, path=f"/v1?token={target.alice}"))
        assert await raw.status() == 101
        await raw.send(text({"type": "hello"}))
        assert await raw.closed() == 4401


async def test_a_token_that_goes_takes_its_connections_along(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as mallory, open_raw(target.port) as brief:
        await mallory.open(target.mallory)
        await brief.open(target.tokens.add("brief", prefix="brief:", expires=time.time() + 0.5))
        assert (await mallory.ask(type="ping", id=1))["type"] == "pong"
        target.tokens.revoke(target.mallory)
        assert await mallory.closed() == 4401
        assert await brief.closed() == 4401


# Pages of others.


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("{host}", ["Origin: http://evil.example"], 403),
        ("{host}", ["Origin: null"], 403),
        ("{host}", ["Origin: http://{host}.evil.example"], 403),
        ("{host}", ["Origin: http://evil.example", "Origin: http://{host}"], 403),
        ("{host}", ["Origin: http://{host}"], 101),
        ("evil.example", [], 421),
        ("evil.example", ["Origin: http://evil.example"], 421),
        ("localhost.evil.example", [], 421),
        ("[::1", [], 421),
    ],
)
async def test_a_page_of_others_opens_nothing(
    caplog: pytest.LogCaptureFixture, host: str, headers: list[str], status: int
) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        named = [header.replace("{host}", raw.host) for header in headers]
        await raw.send(upgrade(host.replace("{host}", raw.host), *named))
        assert await raw.status() == status


# What does not exist for somebody.

GUESSES = ["alice:well", "alice:nothing", "", "/", "mallory", "../alice:well", "alice:\0", "MALLORY:x", "Ð°lice:well"]


async def test_what_is_of_others_is_what_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await target.let_alice_be_asked()
        await raw.open(target.mallory)
        numbers = itertools.count(1)
        asked: list[dict[str, Any]] = [
            {"type": "attach", "after": 0},
            {"type": "prompt", "prompt": "x"},
            {"type": "command", "command": "/cost"},
            {"type": "turn", "turn": f"turn-{SECRET}"},
            {"type": "cancel", "turn": f"turn-{SECRET}"},
            {"type": "change", "model": "x"},
            {"type": "fork", "to": "mallory:copy"},
            *({"type": kind} for kind in ("interrupt", "reset", "hibernate", "close", "delete", "explain", "detach")),
        ]
        for request in asked:
            replies = [await raw.ask(**request, id=next(numbers), key=key) for key in [KEY_OF_ANOTHER, *GUESSES]]
            told = [{**reply, "re": 0, "data": {}} for reply in replies]
            assert told[0]["code"] == "not_found", request
            assert told == told[:1] * len(told), request
        raw.told = [reply for reply in raw.told if reply.get("data", {}).get("key") != KEY_OF_ANOTHER]  # he said it
        assert (await raw.ask(type="fork", id=next(numbers), key="mallory:a", to="alice:b"))["code"] == "not_found"
        for prefix in ["", "alice:", "mallory:", "m"]:
            listed = await raw.ask(type="list", id=next(numbers), prefix=prefix)
            assert (listed["type"], listed["sessions"]) == ("sessions", [])
        assert (await raw.ask(type="permissions", id=next(numbers)))["permissions"] == []
        assert (await raw.ask(type="turn", id=next(numbers), key="mallory:a", turn=f"turn-{SECRET}"))[
            "code"
        ] == "not_found"
        assert_nothing_leaks(raw)
        await target.manager.permissions()[0].deny()
        assert not {session.key for session in target.manager.sessions()} & {"mallory:copy", "alice:nothing"}


async def test_only_who_may_answers_a_permission_and_once(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        attacked(caplog) as target,
        open_raw(target.port) as mallory,
        open_raw(target.port) as watcher,
        open_raw(target.port) as alice,
    ):
        request = await target.let_alice_be_asked()
        await mallory.open(target.mallory)
        await watcher.open(target.tokens.add("watcher", prefix="alice:", rights=["watch", "prompt", "admin"]))
        await alice.open(target.alice)
        guesses = [request.id, request.id.upper(), request.id[:-1], "", "0", "%", "*", "\0", "x" * 100_000]
        for number, id in enumerate(guesses):
            refused = await mallory.ask(type="answer", id=number, permission=id, allow=True)
            assert refused["code"] == "not_found"
            refused = await watcher.ask(type="answer", id=number, permission=id, allow=True)
            assert (refused["code"], refused["data"]) == ("forbidden", {"right": "approve"})
        assert target.manager.permissions() == [request]
        assert_nothing_leaks(mallory)
        answer = partial(alice.ask, type="answer", permission=request.id, allow=False)
        assert (await answer(id=1))["type"] == "done"
        assert (await answer(id=2))["code"] in ("already_answered", "not_found")


# Keys.


async def test_odd_keys_are_keys_and_keys_that_cannot_be_are_invalid(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.open(target.tokens.add("root"))
        odd = ["/", "../../etc/passwd", "..", ".", "\0", "a\0b", "\n", "\x1b[2J", "%2e%2e%2f", "' OR 1=1 --", "\u202e"]
        for number, key in enumerate(odd):
            assert (await raw.ask(type="attach", id=number, key=key, after=0))["key"] == key
        bad = ["", "x" * 1_000_000]
        for number, key in enumerate(bad, 100):
            for kind in ("attach", "explain", "close", "delete", "interrupt"):
                reply = await raw.ask(type=kind, id=number, key=key)
                assert (reply["type"], reply["code"], len(str(reply)) < 2_000) == ("failed", "invalid", True)
        await raw.send(text({"type": "attach", "id": 1, "key": "x" * 10_000_000}))
        assert await raw.closed() == 1009


# Frames.


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        pytest.param(frame(BINARY, b"{}"), {4400}, id="binary"),
        pytest.param(frame(TEXT, b"\xff\xfe"), {1007}, id="no UTF-8"),
        pytest.param(text("no json"), {4400}, id="no JSON"),
        pytest.param(text('{"type":"ping"}'), {4400}, id="no id"),
        pytest.param(text('{"type":"ping","id":1,"id":"x"}'), {4400}, id="two ids"),
        pytest.param(text({"type": "attach", "id": 1, "key": "\ud800"}), {4400}, id="half a character"),
        pytest.param(text('{"type":"ping","id":1.5}'), {4400}, id="odd id"),
        pytest.param(text('{"type":"ping","id":' + "9" * 5_000 + "}"), {4400}, id="huge id"),
        pytest.param(text("[" * 100_000), {4400}, id="deep"),
        pytest.param(
            text('{"type":"prompt","id":1,"key":"mallory:x","prompt":' + '{"a":' * 40_000), {4400}, id="deeper"
        ),
        pytest.param(frame(TEXT, bytes(5 << 20)), {1009}, id="oversize"),
        pytest.param(
            frame(TEXT, b"x", is_last=False) + frame(CONTINUATION, bytes(5 << 20)), {1009}, id="oversize in parts"
        ),
        pytest.param(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", {1002, 1009}, id="impossible size"),
        pytest.param(
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff0000" + bytes(1 << 20), {1002, 1009, LOST}, id="huge size"
        ),
        pytest.param(frame(TEXT, b"{}", is_masked=False), {1002}, id="unmasked"),
        pytest.param(frame(TEXT, b"{}", reserved=7), {1002}, id="reserved bits"),
        pytest.param(frame(0x5, b"{}"), {1002}, id="unknown opcode"),
        pytest.param(frame(CONTINUATION, b"{}"), {1002}, id="continues nothing"),
        pytest.param(frame(PING, bytes(126)), {1002}, id="long ping"),
        pytest.param(frame(PING, b"", is_last=False), {1002}, id="ping in parts"),
        pytest.param(frame(CLOSE, b"\x00"), {1002}, id="half a close code"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), {1007}, id="close without text"),
    ],
)
async def test_a_frame_that_cannot_be_closes_with_its_code(
    caplog: pytest.LogCaptureFixture, said: bytes, codes: set[int]
) -> None:
    async with attacked(caplog, SMALL) as target, open_raw(target.port) as raw:
        await raw.open(target.mallory)
        await raw.send(said)
        assert await raw.closed() in codes
        assert_nothing_leaks(raw)


@pytest.mark.parametrize(
    "said",
    [
        '{"type":"nothing","id":1}',
        '{"type":"attach","id":1}',
        '{"type":"attach","id":1,"key":"mallory:x","after":-1}',
        '{"type":"attach","id":1,"key":"mallory:x","after":1e400}',
        '{"type":"attach","id":1,"key":"mallory:x","coalesce_ms":1001}',
        '{"type":"list","id":1,"limit":100000}',
        '{"type":"prompt","id":1,"key":"mallory:x","prompt":[]}',
        '{"type":"prompt","id":1,"key":"mallory:x","prompt":7}',
        '{"type":"prompt","id":1,"key":"mallory:x","prompt":{"type":"control_request"}}',
        '{"type":"prompt","id":1,"key":"mallory:x","prompt":"x","overlap":"nonsense"}',
        '{"type":"prompt","id":1,"key":"mallory:x","prompt":"x","meta":{"a":1}}',
        '{"type":"command","id":1,"key":"mallory:x","command":"no slash"}',
    ],
)
async def test_a_request_that_cannot_be_is_invalid_and_nothing_else_happens(
    caplog: pytest.LogCaptureFixture, said: str
) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.open(target.mallory)
        await raw.send(text(said))
        reply = await raw.until(lambda told: told.get("re") == 1)
        assert (reply["type"], reply["code"]) == ("failed", "invalid")
        assert (await raw.ask(type="ping", id=2))["type"] == "pong"


async def test_a_message_may_come_in_a_thousand_parts_with_pings_between(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.open(target.mallory)
        said = b'{"type":"ping","id":1}' + b" " * 1000
        await raw.send(frame(TEXT, said[:1], is_last=False))
        for byte in said[1:]:
            await raw.send(frame(CONTINUATION, bytes([byte]), is_last=False), frame(PING, b"x"))
        await raw.send(frame(CONTINUATION, b""))
        assert (await raw.until(lambda told: told.get("re") == 1))["type"] == "pong"


async def test_half_closed_and_reset_sockets_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target:
        for said in [b"", b"GET / HT", upgrade("127.0.0.1"), upgrade("127.0.0.1") + text({"type": "hello"})[:9]]:
            async with open_raw(target.port) as raw:
                await raw.send(said)
                await raw.stream.send_eof()
                await raw.answer()
        async with open_raw(target.port) as raw:
            await raw.open(target.mallory)
            await raw.stream.send_eof()
            assert await raw.closed() in (1000, LOST)
        with trio.fail_after(10):
            while target.gateway.statistics().connections:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("before", "drop", "end"),
    [
        (b"", b"G", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n", b""),
        pytest.param(upgrade("localhost"), frame(PING, b""), b"\x11\x38", marks=pytest.mark.slow),
        pytest.param(upgrade("localhost"), frame(TEXT, b"", is_last=False), b"\x11\x38", marks=pytest.mark.slow),
    ],
)
async def test_a_slow_drip_ends_with_the_time_for_hello(
    caplog: pytest.LogCaptureFixture, before: bytes, drop: bytes, end: bytes
) -> None:
    async with attacked(caplog, SHORT) as target, open_raw(target.port) as raw:
        await raw.send(before)
        if end:
            assert await raw.status() == 101
        answer, chunk = b"", None
        with trio.fail_after(10):
            while chunk != b"":
                try:
                    await raw.send(drop)
                    with trio.move_on_after(0.05):
                        answer += (chunk := await raw.stream.receive_some())
                except trio.BrokenResourceError:  # it goes on after the end was said
                    break
                drop = frame(CONTINUATION, b"", is_last=False) if drop == frame(TEXT, b"", is_last=False) else drop
        assert end in answer


# The one port.


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /%2e%2e/token_file.py HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            405,
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c: d\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A\x00: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"b" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"\r\n" * 20_000, 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n" + upgrade("localhost"), 200),
    ],
)
async def test_one_request_gets_one_answer_and_the_connection_ends(
    caplog: pytest.LogCaptureFixture, said: bytes, status: int
) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.send(said)
        answer = await raw.answer()
        assert answer.split(b" ")[1] == str(status).encode(), answer[:200]
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"GET /v1", b"POST /v1"), 400),
        ((b"GET /v1", b"GET /v2"), 404),
        ((b"Version: 13", b"Version: 8"), 426),
        ((b"triologue.v1", b"other"), 400),
        ((b"Sec-WebSocket-Key", b"X-Key"), 400),
        ((b"Connection: Upgrade", b"Connection: close"), 400),
        ((b"Connection: Upgrade", b"Connection: Upgrade, \xff"), 400),
        ((b"Connection: Upgrade", b"Connection: Upgrade\r\nTransfer-Encoding: chunked"), 400),
        ((b"Connection: Upgrade", b"Connection: Upgrade\r\nContent-Length: 9"), 400),
    ],
)
async def test_what_is_no_request_for_a_websocket_opens_none(
    caplog: pytest.LogCaptureFixture, change: tuple[bytes, bytes], status: int
) -> None:
    async with attacked(caplog) as target, open_raw(target.port) as raw:
        await raw.send(upgrade(raw.host).replace(*change))
        assert await raw.status() == status


async def test_metrics_are_for_those_who_may_see_everything(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog) as target:
        for token, status in [("", 401), (noise(9).hex(), 401), (target.mallory, 403)]:
            async with open_raw(target.port) as raw:
                await raw.send(
                    f"GET /metrics HTTP/1.1\r\nHost: {raw.host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
                )
                assert await raw.status() == status


@pytest.mark.slow
async def test_thousands_of_half_open_handshakes_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * HALF_OPEN + 1_000
    if hard < needed:
        pytest.skip(f"this process may have only {hard} files open, and {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    streams: list[trio.SocketStream] = []
    try:
        async with attacked(caplog) as target:
            await dial(target.port, streams)
            await target.check_healthy()
            statistics = target.gateway.statistics()
            assert statistics.handshakes <= tri.GatewayLimits().handshakes
            assert statistics.refused >= HALF_OPEN - tri.GatewayLimits().handshakes
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def dial(port: int, streams: list[trio.SocketStream]) -> None:
    """Some say nothing, some half a request, some all but `hello`."""
    said = itertools.cycle([b"", b"GET /v1 HTTP/1.1\r\nHost: loc", upgrade("localhost")])
    while len(streams) < HALF_OPEN:
        streams.append(await trio.open_tcp_stream("127.0.0.1", port))
        await Raw(streams[-1], port).send(next(said))
