"""What `open_remote` refuses before it connects, and what it says when it cannot."""

import ssl
import sys

import pytest
import trio

import triologue as tri
from tests.support.threads import no_threads
from triologue.testing import ScriptedAgent

TLS = ssl.create_default_context()


@pytest.mark.parametrize(
    ("url", "token", "more", "message"),
    [
        ("http://127.0.0.1:1", None, {}, "is no ws://host:port"),
        ("ws://", None, {}, "is no ws://host:port"),
        ("ws://127.0.0.1:99999", None, {}, "is no ws://host:port"),
        (None, None, {}, "is no ws://host:port"),
        ("ws://127.0.0.1:1/v1", None, {}, "ends with /v1"),
        ("ws://127.0.0.1:1/agents/v1/", None, {}, "ends with /v1"),
        ("ws://127.0.0.1:1?token=SECRET", None, {}, "has a user, a query or a fragment"),
        ("ws://me:SECRET@127.0.0.1:1", None, {}, "has a user, a query or a fragment"),
        ("ws://gateway..example.org:1", None, {}, "1 to 63 characters"),
        (f"ws://{'a' * 64}.example.org:1", None, {}, "1 to 63 characters"),
        ("ws://gätewäy.example.org:1", None, {}, "xn--"),
        ("ws://127.0.0.1:1/my agents", None, {}, "%... in the path"),
        ("ws://127.0.0.1:1/ägents", None, {}, "%... in the path"),
        ("ws://10.0.0.1:1", "SECRET", {}, "in clear"),
        ("ws://gateway.example.org", "SECRET", {}, "in clear"),
        ("ws://127.0.0.1:1", "", {}, "token is no text"),
        ("ws://127.0.0.1:1", "SECRET\ud83d", {}, "token is no text"),
        ("ws://127.0.0.1:1", None, {"client": "\ud83d"}, "is no text"),
        ("ws://127.0.0.1:1", None, {"tls": TLS}, "for a wss:// address"),
        ("wss://127.0.0.1:1", None, {"tls": True}, "ssl.SSLContext"),
        ("ws://127.0.0.1:1", None, {"give_up": 0}, "give_up=0 is no number"),
        ("ws://127.0.0.1:1", None, {"max_waiting": "many"}, "max_waiting='many'"),
    ],
)
async def test_what_cannot_be_is_refused(url: str, token: str | None, more: dict[str, object], message: str) -> None:
    with pytest.raises(tri.InvalidOption) as refused:
        async with tri.open_remote(url, token, **more):  # type: ignore[arg-type]
            pass
    assert message in str(refused.value)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("url", ["ws://localhost:{}", "ws://127.0.0.1:{}"])
async def test_nobody_is_there(url: str) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(tri.GatewayLost, match="no connection to ws://"):
        async with tri.open_remote(url.format(port), "secret"):
            pass


async def test_there_is_no_thread_to_look_a_name_up() -> None:
    why = r"no thread can be started; raise the limit of processes \(ulimit -u\)"
    async with tri.open_manager(ScriptedAgent()) as manager:
        with no_threads(), pytest.raises(OSError, match=why):
            async with tri.open_gateway(manager, host="localhost", port=0):
                pass
        for url in ("ws://localhost:1", "wss://localhost:1"):
            with no_threads(), pytest.raises(tri.GatewayLost, match=why):
                async with tri.open_remote(url):
                    pass


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("text/plain; charset=utf-8", "ask\nelsewhere\n", "HTTP 404: 'ask elsewhere'"),
        ("text/plain", "", "HTTP 404"),
        ("text/html", "<h1>nothing here</h1>", "HTTP 404"),
    ],
    ids=["text", "nothing", "page"],
)
async def test_another_server_is_there(kind: str, body: str, told: str) -> None:
    said = f"HTTP/1.1 404 Not Found\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(said.encode())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(tri.GatewayRefused) as refused:
            async with tri.open_remote(f"ws://127.0.0.1:{port}/agents"):
                pass
        nursery.cancel_scope.cancel()
    assert refused.value.code == 404
    assert f"ws://127.0.0.1:{port}/agents is no gateway" in str(refused.value)
    assert str(refused.value).endswith(told)


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio_websocket", None)
    with pytest.raises(tri.InvalidOption, match=r"triologue\[gateway\]"):
        async with tri.open_remote("ws://127.0.0.1:1"):
            pass


def test_it_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match=r"trio\.run"):
        tri.open_remote("ws://127.0.0.1:1").__aenter__().send(None)
