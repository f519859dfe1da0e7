"""The door, in bytes: what is answered to whom, and that nobody stays in it."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import House, house
from triologue.gateway.limits import GatewayLimits
from triologue.testing import ScriptedAgent

UPGRADE = {
    "Host": "localhost:8787",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "other, triologue.v1",
}


def head(target: str = "/v1", method: str = "GET", **changed: str | None) -> bytes:
    headers = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changed.items()}}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()


async def ask(gateway: House, said: bytes) -> bytes:
    """What comes back, until it is closed or opened."""
    stream = gateway.connect()
    await stream.send_all(said)
    answer = b""
    try:
        while data := await stream.receive_some():
            answer += data
            if answer.startswith(b"HTTP/1.1 101") and answer.endswith(b"\r\n\r\n"):
                break
    except trio.BrokenResourceError:  # it was closed with something unread
        pass
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (head(), 101),
        (head("/v1?a=b"), 101),
        (head(Host="127.0.0.1:8787"), 101),
        (head(Host="[::1]:8787"), 101),
        (head(Origin="http://localhost:8787"), 101),
        (head(Origin="https://chat.example.org"), 101),
        (head(Host="evil.example.org"), 421),
        (head(Host="evil.example.org", Origin="http://evil.example.org"), 421),
        (head(Host="localhost.evil.example.org"), 421),
        (head(Origin="http://evil.example.org"), 403),
        (head(Origin="http://localhost:8787.evil.example.org"), 403),
        (head(Origin="http://localhost:1"), 403),
        (head(Origin="null"), 403),
        (head(Origin="http://[bad"), 403),
        (head("/v2"), 404),
        (head("/"), 404),
        (head(method="POST"), 400),
        (head(Sec_WebSocket_Key=None), 400),
        (head(Sec_WebSocket_Version="8"), 426),
        (head(Sec_WebSocket_Protocol=None), 400),
        (head(Sec_WebSocket_Protocol="triologue.v2"), 400),
        (head("/page", Upgrade=None), 200),
        (head("/page", Upgrade=None, Host="evil.example.org"), 421),
        (b"GET /page HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /page HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000, 431),
    ],
)
async def test_what_is_asked_for_gets_its_answer(said: bytes, expected: int, autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with house(manager, origins=("https://chat.example.org",)) as gateway:
            assert status(await ask(gateway, said)) == expected


@pytest.mark.parametrize("origin", ["https://chat.example.org:443", "HTTPS://Chat.example.org", "http://[::1]:80"])
async def test_a_page_may_be_named_with_its_usual_port(origin: str, autojump_clock: MockClock) -> None:
    said = origin.lower().removesuffix(":443").removesuffix(":80")  # by browsers
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager, origins=(origin,)) as gateway:
        assert status(await ask(gateway, head(Origin=said))) == 101


@pytest.mark.parametrize("host", ["chat.example.org", "chat.example.org."])
async def test_a_name_may_be_said_to_its_root(host: str, autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with house(manager, origins=("http://chat.example.org.",)) as gateway:
            assert status(await ask(gateway, head("/page", Upgrade=None, Host=host))) == 200


async def test_an_answer_is_whole_and_ends_the_connection(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        answer = await ask(gateway, b"GET /page?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer == (b"HTTP/1.1 200 OK\r\ncontent-length: 23\r\nconnection: close\r\n\r\nyou asked for /page?a=b")


@pytest.mark.parametrize(
    "said",
    [
        head("/page", Upgrade=None),
        head("/page", Upgrade=None, Host="evil.example.org"),
        head("/v2"),
        head(Host="evil.example.org"),
        head(Origin="http://evil.example.org"),
    ],
)
async def test_head_has_the_answer_to_get_without_its_body(said: bytes, autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        whole, _, body = (await ask(gateway, said)).partition(b"\r\n\r\n")
        assert await ask(gateway, b"HEAD" + said.removeprefix(b"GET")) == whole + b"\r\n\r\n"
        assert b"content-length: %d\r\n" % len(body) in whole


async def test_who_sends_what_nobody_reads_gets_its_answer(autojump_clock: MockClock) -> None:
    """A socket that is closed with something unread takes back what it has sent."""
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        stream = gateway.connect()
        await stream.send_all(head("/page", method="POST", Upgrade=None, Content_Length="100000") + b"x" * 100_000)
        await wait_all_tasks_blocked()
        answer = b"".join([bytes(data) async for data in stream])
        assert status(answer) == 200
        assert gateway.hall.statistics().handshakes == 1
        await trio.sleep(2)  # and it is not waited for longer than that
        assert gateway.hall.statistics().handshakes == 0


async def test_a_head_may_come_in_pieces(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        stream = gateway.connect()
        for byte in head():
            await stream.send_all(bytes([byte]))
            await wait_all_tasks_blocked()
        assert status(bytes(await stream.receive_some())) == 101


async def test_who_sends_its_head_too_slowly_is_cut_off(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        stream = gateway.connect()
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            for byte in head():
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() == pytest.approx(10, abs=1)


async def test_who_leaves_half_way_leaves_nothing(autojump_clock: MockClock) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager, house(manager) as gateway:
        for said in (b"", head()[:30], head(), head() + b"\x81"):
            stream = gateway.connect()
            await stream.send_all(said)
            await stream.aclose()
        await wait_all_tasks_blocked()
        statistics = gateway.hall.statistics()
        assert (statistics.accepted, statistics.handshakes, statistics.connections) == (4, 0, 0)


async def test_who_comes_when_it_is_full_hears_so_and_the_log_tells_it(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with tri.open_manager(ScriptedAgent()) as manager:
        async with house(manager, limits=GatewayLimits(connections=2)) as gateway:
            clients = [await gateway.client() for _ in range(2)]
            assert status(await ask(gateway, head())) == 503
            assert status(await ask(gateway, head("/page", Upgrade=None))) == 200
            await clients[0].socket.aclose()
            await wait_all_tasks_blocked()
            assert status(await ask(gateway, head())) == 101
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the limit connections was reached by clients: there are as many connections as there may be"
    ]
