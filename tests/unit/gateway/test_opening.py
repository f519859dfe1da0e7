"""A gateway on real sockets: who it listens for, and how it is left."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import msgspec
import pytest
import trio

import triologue as tri
from tests.support.certificates import contexts
from tests.support.ctrl_c import Press
from tests.support.slow_store import SlowStore
from triologue.gateway import opening
from triologue.protocol import asked, told
from triologue.protocol.carrier import ClientCarrier, Closed, Refused, connect
from triologue.testing import ScriptedAgent, run_virtual


async def ask(carrier: ClientCarrier, request: Any) -> told.Told:
    await carrier.send(msgspec.json.encode(request))
    answer: told.Told = msgspec.json.decode(await carrier.receive(), type=told.Told)
    return answer


async def test_a_client_comes_in_and_hears_when_the_gateway_ends() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, trio.open_nursery() as nursery:
        opened, leave = trio.Event(), trio.Event()
        gateways = list[tri.Gateway]()

        async def serve() -> None:
            async with tri.open_gateway(manager, port=0) as gateway:
                gateways.append(gateway)
                opened.set()
                await leave.wait()

        nursery.start_soon(serve)
        await opened.wait()
        (gateway,) = gateways
        assert gateway.url == f"ws://127.0.0.1:{gateway.port}"
        async with connect(gateway.url, max_frame_bytes=1 << 20) as carrier:
            assert isinstance(await ask(carrier, asked.Hello()), told.Welcome)
            assert await ask(carrier, asked.Ping(id=1)) == told.Pong(re=1)
            assert gateway.statistics().connections == 1
            leave.set()
            with pytest.raises(Closed) as caught:
                await carrier.receive()
            assert (caught.value.code, caught.value.reason) == (1001, "the gateway ends; come again")
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", gateway.port)) != 0


async def test_what_the_block_raises_is_raised() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(ZeroDivisionError):
            async with tri.open_gateway(manager, port=0):
                raise ZeroDivisionError


@final
class BrokenTokens:
    """A program's own, whose database goes away."""

    def check(self, token: str, now: float) -> tri.Grant | None:
        return None

    get = check

    async def watch(self, on_change: Callable[[], None]) -> None:
        await trio.sleep(1)
        raise OSError("the database is away")


def test_tokens_that_break_hide_nothing_of_what_the_block_raises() -> None:
    async def story() -> None:
        async with tri.open_manager(ScriptedAgent()) as manager:
            async with tri.open_gateway(manager, port=0, tokens=BrokenTokens()):
                try:
                    await trio.sleep_forever()
                finally:
                    raise KeyboardInterrupt

    with pytest.RaisesGroup(OSError, KeyboardInterrupt, flatten_subgroups=True):
        run_virtual(story)


@pytest.mark.parametrize("at", range(1, 8))
def test_ctrl_c_while_it_is_opened_ends_it(at: int) -> None:
    async def story() -> None:
        async with tri.open_manager(ScriptedAgent()) as manager:
            trio.lowlevel.add_instrument(Press(at))
            async with tri.open_gateway(manager, port=0):
                await trio.sleep_forever()

    with pytest.raises(BaseException) as stopped:
        run_virtual(story)
    assert BaseExceptionGroup("", [stopped.value]).split(KeyboardInterrupt)[1] is None


async def test_who_is_connected_to_a_gateway_that_is_cancelled_hears_that_it_ends() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                async with tri.open_gateway(manager, port=0) as gateway:
                    carrier = await nursery.start(greeted, gateway.url)
                    assert gateway.statistics().connections == 1
                    scope.cancel()
                    await trio.sleep_forever()
            with pytest.raises(Closed) as caught:
                await carrier.receive()
            nursery.cancel_scope.cancel()
    assert scope.cancelled_caught
    assert (caught.value.code, caught.value.reason) == (1001, "the gateway ends; come again")


async def greeted(url: str, task_status: trio.TaskStatus[ClientCarrier]) -> None:
    """A client that was let in, and stays."""
    async with connect(url, max_frame_bytes=1 << 20) as carrier:
        await ask(carrier, asked.Hello())
        task_status.started(carrier)
        await trio.sleep_forever()


async def test_a_prompt_that_a_store_never_keeps_holds_up_no_gateway_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "GRACE", 0.0)
    store = SlowStore()
    async with tri.open_manager(ScriptedAgent(), store=store.as_store) as manager:
        with trio.CancelScope() as scope:
            async with tri.open_gateway(manager, port=0) as gateway:
                async with connect(gateway.url, max_frame_bytes=1 << 20) as carrier:
                    await ask(carrier, asked.Hello())
                    store.hold()
                    await carrier.send(msgspec.json.encode(asked.Prompt(id=1, key="k", prompt="hello")))
                    assert await ask(carrier, asked.Ping(id=2)) == told.Pong(re=2)
                scope.cancel()
                await trio.sleep_forever()
        store.go_on()


async def test_a_prompt_that_was_accepted_runs_although_the_gateway_has_ended() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, port=0) as gateway:
            async with connect(gateway.url, max_frame_bytes=1 << 20) as carrier:
                await ask(carrier, asked.Hello())
                await ask(carrier, asked.Prompt(id=1, key="k", prompt="hello", turn="1"))
        turn = await manager.session("k").find("1")
        assert turn is not None
        assert (await turn.wait()).kind == "answered"


async def test_where_nothing_listens_and_where_nothing_speaks_the_protocol() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, port=0) as gateway:
            with pytest.raises(Refused) as caught:
                async with connect(gateway.url + "/else", max_frame_bytes=1 << 20):
                    pass
            assert caught.value.status == 404
        with pytest.raises(OSError, match="all attempts to connect"):
            async with connect(gateway.url, max_frame_bytes=1 << 20):
                pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"host": "0.0.0.0"}, "can be reached by others"),
        ({"host": "::"}, "can be reached by others"),
        ({"host": "chat.example.org", "tokens": tri.MemoryTokens()}, "can be reached by others"),
        ({"host": "0.0.0.0", "tls": ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)}, "can be reached by others"),
        ({"host": "fe80::1%eth0"}, "can be reached by others"),
        ({"host": ""}, "is no address and no name"),
        ({"host": "127.0.0.1:8787"}, "is no address and no name, as 127.0.0.1, ::1 or localhost"),
        ({"host": "[::1]"}, "is no address and no name"),
        ({"host": "http://127.0.0.1"}, "is no address and no name"),
        ({"host": "chat..example.org", "insecure": True}, "is no address and no name"),
        ({"host": 64 * "a", "insecure": True}, "is no address and no name"),
        ({"host": "chat☃.example.org", "insecure": True}, "is no address and no name"),
        ({"port": -1}, "is no port"),
        ({"port": "8787"}, "is no port"),
        ({"tls": "cert.pem"}, "is no ssl.SSLContext"),
        ({"tokens": ["tri_1234abcd_secret"]}, "tokens are the path of a token file or an object with check"),
        ({"tokens": ""}, "tokens are the path of a token file"),
        ({"origins": ["chat.example.org"]}, "the origin 'chat.example.org' is none"),
        ({"origins": ["https://chat.example.org/path"]}, "is none"),
        ({"origins": ["https://[::1"]}, "is none"),
        ({"origins": ["https://chat.example.org:https"]}, "is none"),
        ({"origins": ["https://chät.example.org"]}, "is none"),
        ({"origins": ["https://me@chat.example.org"]}, "is none"),
        ({"origins": ["https://chat.example.org?"]}, "is none"),
        ({"origins": [" https://chat.example.org"]}, "is none"),
        ({"limits": tri.Limits()}, "limits are GatewayLimits"),
    ],
)
async def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        with pytest.raises(tri.InvalidOption, match=message):
            async with tri.open_gateway(manager, **{"port": 0, **arguments}):
                pass


async def test_a_manager_is_needed() -> None:
    with pytest.raises(tri.InvalidOption, match="is no manager"):
        async with tri.open_gateway("manager", port=0):  # type: ignore[arg-type]  # that is the point
            pass


async def test_a_manager_has_one_gateway_at_a_time() -> None:
    """Two would withdraw each other's turns, whose tokens they do not know."""
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, port=0, tokens=tri.MemoryTokens()):
            with pytest.raises(tri.InvalidOption, match="has one gateway at a time"):
                async with tri.open_gateway(manager, port=0, tokens=tri.MemoryTokens()):
                    pass
        async with tri.open_gateway(manager, port=0) as gateway:
            assert gateway.statistics().connections == 0


async def test_others_may_reach_it_if_that_is_said() -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, host="0.0.0.0", port=0, insecure=True) as gateway:
            async with connect(f"ws://127.0.0.1:{gateway.port}", max_frame_bytes=1 << 20) as carrier:
                assert isinstance(await ask(carrier, asked.Hello()), told.Welcome)


async def test_over_tls(tmp_path: Path) -> None:
    theirs, ours = contexts(tmp_path)
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, port=0, tls=theirs) as gateway:
            assert gateway.url.startswith("wss://")
            url = gateway.url.replace("127.0.0.1", "localhost")
            async with connect(url, tls=ours, max_frame_bytes=1 << 20) as carrier:
                assert isinstance(await ask(carrier, asked.Hello()), told.Welcome)
                assert await ask(carrier, asked.Ping(id=1)) == told.Pong(re=1)
            with pytest.raises(Refused, match="certificate of 'localhost'"):  # it trusts nobody of this kind
                async with connect(url, max_frame_bytes=1 << 20):
                    pass
            with pytest.raises(Closed):
                async with connect(url.replace("wss", "ws"), max_frame_bytes=1 << 20):
                    pass


async def test_a_token_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = tri.TokenFile(path, create=True).add("ann")
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with tri.open_gateway(manager, port=0, tokens=path) as gateway:
            async with connect(gateway.url, max_frame_bytes=1 << 20) as carrier:
                welcome = await ask(carrier, asked.Hello(token=token))
                assert isinstance(welcome, told.Welcome)
                assert welcome.name == "ann"
