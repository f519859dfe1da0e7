"""The page in a real browser: what a person sees of sessions, and does with them."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from selenium.webdriver.common.keys import Keys

import triologue as tri
from tests.support.browser import Page, open_page
from tests.support.slow_store import SlowStore
from triologue.agents import Embedded
from triologue.engine import OfflineModel
from triologue.gateway import open_gateway
from triologue.gateway.limits import GatewayLimits
from triologue.gateway.tokens import MemoryTokens, id_of
from triologue.testing import Line, Say, ScriptedAgent, UseTool

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MARKUP = "<script>hacked = 1</script><img src=x onerror='hacked = 1'>"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


async def read_file(path: str) -> str:
    """Read a file."""
    return f"{path} has {MARKUP}"


async def run_tests(folder: str) -> str:
    """Run the tests of a folder."""
    return "148 passed in 2.41 s"


async def deploy(service: str, version: str) -> str:
    """Deploy a service."""
    return f"{service} {version} is deployed"


@asynccontextmanager
async def open_stage(*, pace: float = 0.0) -> AsyncGenerator[tri.SessionManager]:
    """A manager of the built-in agent; whoever may approve is asked before each tool."""
    agent = Embedded(model=OfflineModel(piece_delay=pace), tools=[read_file, run_tests, deploy])
    options = tri.Options(include_partial_messages=True, permission_prompt_tool_name="stdio")
    store = tri.MemoryStore()
    hurry = tri.Deadlines(drain=0.0)
    async with tri.open_manager(agent, options=options, deadlines=hurry, store=store) as manager:
        yield manager


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


def address(gateway_port: int, key: str = "") -> str:
    return f"http://127.0.0.1:{gateway_port}/" + (f"#{key}" if key else "")


async def answered(manager: tri.SessionManager, key: str, prompt: str) -> None:
    """One turn, whose permissions are given."""
    turn = await manager.session(key).send(prompt)
    while turn.outcome is None:
        for request in manager.permissions():
            if request.session.key == key:
                await request.allow(by="ada")
        await trio.sleep(0.01)


async def test_a_new_session_streams_its_answer(page: Page) -> None:
    async with open_stage(pace=0.05) as manager, open_gateway(manager, port=0) as gateway:
        await page.open(address(gateway.port))
        await page.see("#link", "local")
        await page.see("#more", "No session yet")
        await page.type("#filter", "team-a/first")
        await page.see("#title", "team-a/first")
        await page.type("#prompt", "Count to 40")
        await page.see(".live", "1 2 3")
        await page.see("#state", "running")
        await page.see(".said:not(.live)", " ".join(map(str, range(1, 41))))
        await page.see(".ending", "answered")
        assert await page.texts(".asked") == ["Count to 40"]
        await page.see("#sessions .row", "team-a/first")
        words = await page.texts("#timeline .word")
        assert words == ["idle", "answered", "running", "started", "starting", "accepted"]
        assert await page.complaints() == []


async def test_an_open_session_shows_what_was_said_before(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        await answered(manager, "a/old", "Say good morning")
        await answered(manager, "a/old", 'Use the tool run_tests with {"folder": "tests"}')
        await page.open(address(gateway.port, "a%2Fold"))
        await page.see(".ending", "answered", times=2)
        assert await page.texts(".said") == [
            "good morning",
            "I will use run_tests.",
            "The tool run_tests says: 148 passed in 2.41 s.",
        ]
        assert await page.texts(".ask") == ["run_tests asks to run\nallowed by ada"]
        await page.click(".tool summary")
        assert await page.texts(".tool .code") == ['{\n  "folder": "tests"\n}', "148 passed in 2.41 s"]


async def test_a_permission_is_given_or_not(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        await page.open(address(gateway.port, "a"))
        for button, said in ((".ask .main", "importer 2 is deployed"), (".ask .warn", "failed")):
            await page.type("#prompt", 'Use the tool deploy with {"service": "importer", "version": "2"}')
            await page.see(".ask[data-state=open]", "deploy asks to run")
            await page.see(".row .asks", "asks 1")
            await page.click(button)
            await page.see(".said", said)
            await page.gone(".ask[data-state=open]")
        assert [text.splitlines()[-1].partition(":")[0] for text in await page.texts(".ask")] == [
            "allowed by local",
            "denied by local",
        ]


async def test_what_somebody_else_answers_is_no_longer_asked(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        turn = await manager.session("a").send('Use the tool run_tests with {"folder": "tests"}')
        await page.open(address(gateway.port, "a"))
        await page.see(".ask[data-state=open]", "run_tests")
        await manager.permissions()[0].deny("not now", by="ada")
        await page.see(".ask", "denied by ada: not now")
        await turn.wait()


async def test_a_turn_is_interrupted_and_one_in_line_withdrawn(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        await page.open(address(gateway.port, "a"))
        await page.type("#prompt", "Wait 600 seconds")
        await page.see(".ending", "running")
        await page.type("#prompt", "Say never")
        await page.see("#queue", "1 queued")
        await page.click('.ending[data-state="queued"] button')
        await page.see(".ending", "cancelled")
        await page.click("#interrupt")
        await page.see(".ending", "interrupted")
        assert await page.complaints() == []


async def test_it_comes_back_after_the_gateway_was_away(page: Page) -> None:
    async with open_stage() as manager:
        async with open_gateway(manager, port=0) as gateway:
            port = gateway.port
            await page.open(address(port, "a"))
            await page.type("#prompt", "Say one")
            await page.see(".said", "one")
        await page.see("#link", "reconnecting")
        await answered(manager, "a", "Say two")
        await page.type("#prompt", "Say three")
        async with open_gateway(manager, port=port):
            await page.see("#link", "local")
            await page.see(".said", "three")
            await page.see(".ending", "answered", times=3)
            assert await page.texts(".said") == ["one", "two", "three"]
            assert await page.texts(".asked") == ["Say one", "Say two", "Say three"]
            await page.see("#timeline", "connected again")
    complaints = await page.complaints()
    assert [line for line in complaints if "WebSocket connection to" not in line] == []


async def test_a_prompt_that_is_refused_goes_back_to_its_own_session(page: Page) -> None:
    async with open_stage() as manager:
        for key in ("a", "b"):
            await answered(manager, key, "Hello")
        async with open_gateway(manager, port=0) as gateway:
            port = gateway.port
            await page.open(address(port, "a"))
            await page.see(".said", "Hello")
        await page.see("#link", "reconnecting")
        await page.type("#prompt", "[[[[")
        await page.click("#sessions .row[title=b]")
        await page.see("#title", "b")
        async with open_gateway(manager, port=port, limits=GatewayLimits(containers=3)):
            await page.see("#wrong", "a: it has 5 arrays and objects, and may have 3")
            typed = "return document.getElementById('prompt').value"
            assert await page.script(typed) == ""
            await page.click("#sessions .row[title=a]")
            await page.see("#title", "a")
            assert await page.script(typed) == "[[[["
    complaints = await page.complaints()
    assert [line for line in complaints if "WebSocket connection to" not in line] == []


async def test_a_manager_that_kept_nothing_begins_anew(page: Page) -> None:
    port = 0
    for word, times in (("one", 3), ("two", 1)):
        async with open_stage() as manager, open_gateway(manager, port=port) as gateway:
            if not port:
                port = gateway.port
                await page.open(address(port, "a"))
            for _ in range(times):
                await answered(manager, "a", f"Say {word}")
            await page.see(".said", word, times=times)
            assert await page.texts(".said") == [word] * times
        await page.see("#link", "reconnecting")


async def test_a_session_that_is_deleted_can_be_begun_again(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        await answered(manager, "a", "Say one")
        await page.open(address(gateway.port, "a"))
        await page.see(".said", "one")
        await manager.delete("a")
        await page.click(".log button.note")
        await page.type("#prompt", "Say two")
        await page.see(".said", "two")
        assert await page.texts(".said") == ["two"]
        assert await page.complaints() == []


class BusyStore(SlowStore):
    """It cannot read, for a while."""

    is_busy = False

    async def get_session(self, key_or_id: str) -> tri.StoredSession | None:
        if self.is_busy:
            raise tri.StoreError("the database is locked")
        return await super().get_session(key_or_id)


async def test_a_session_that_cannot_be_read_now_is_asked_for_again(page: Page) -> None:
    store = BusyStore()
    async with tri.open_manager(ScriptedAgent(), store=store.as_store) as manager:
        await manager.session("a").ask("one")
    async with tri.open_manager(ScriptedAgent(), store=store.as_store) as manager:
        async with open_gateway(manager, port=0) as gateway:
            store.is_busy = True
            await page.open(address(gateway.port, "a"))
            await page.see("#wrong", "the database is locked")
            store.is_busy = False
            await page.click(".log button.note")
            await page.see(".said", "one")
            assert await page.texts(".log button.note") == []
            await page.gone("#wrong")


async def test_a_long_history_is_shown_from_its_end(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        for number in range(100):
            await answered(manager, "a", f"Say {number}")
        await page.open(address(gateway.port, "a"))
        await page.see(".said", "99")
        assert "0" not in await page.texts(".said")
        await page.click(".log .button.note")
        await page.see(".said", times=100)
        await answered(manager, "a", "Say more")
        assert (await page.see(".said", "more"))[-1] == "more"


async def test_what_is_asked_now_is_shown_behind_a_history_that_takes_its_time(page: Page) -> None:
    agent = ScriptedAgent()
    agent.on("long", Say("word " * 12_000), Say("word " * 12_000))
    agent.on("tool", UseTool("Bash", {"command": "ls"}, asks=True))
    options = tri.Options(permission_prompt_tool_name="stdio")
    async with tri.open_manager(agent, options=options, store=tri.MemoryStore()) as manager:
        async with open_gateway(manager, port=0) as gateway:
            for _ in range(20):
                await manager.session("a").ask("long")
            turn = await manager.session("a").send("tool")
            while not manager.permissions():
                await trio.sleep(0.01)
            await page.open(address(gateway.port, "a"))
            await page.see(".ask[data-state=open]", "Bash")
            await page.see(".said", times=40)
            asks = "return [...document.querySelectorAll('.turn')].map((each) => each.querySelector('.ask') !== null)"
            assert await page.script(asks) == [False] * 20 + [True]
            await page.click(".ask .main")
            await turn.wait()


async def test_markup_stays_text(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        key = f"a/{MARKUP}"
        await page.open(address(gateway.port))
        await page.type("#filter", key)
        await page.see("#title", key)
        await page.type("#prompt", f"Say {MARKUP} ```{MARKUP}")
        await page.see(".said", MARKUP)
        await page.type("#prompt", f'Use the tool read_file with {{"path": "{MARKUP}"}}')
        await page.see(".ask", MARKUP)
        await page.click(".ask .main")
        await page.see(".said", f"says: {MARKUP} has {MARKUP}")
        await page.see(".row .key", MARKUP)
        assert await page.script("return typeof hacked") == "undefined"
        inside = "return document.querySelectorAll('main script, main img').length"
        assert await page.script(inside) == 0
        assert await page.complaints() == []


async def test_what_is_to_be_approved_is_shown_as_it_is(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        path = "a\u202eb\u2066\U000e0041 \u0646\u200c\u0647 \u3164 r\ufe00m \u2028-\u200drf \u00e9\u200d\u200c\u2800"
        await manager.session("a").send(f'Use the tool read_file with {{"path": "{path}"}}')
        await page.open(address(gateway.port, "a"))
        shown = "a\\u{202e}b\\u{2066}\\u{e0041} \u0646\u200c\u0647 \\u{3164} r\\u{fe00}m \\u{2028}-\\u{200d}rf \u00e9\u200d\\u{200c}\\u{2800}"
        await page.see(".ask .code", shown)
        assert await page.texts(".tool .about") == [shown]


ODD = (
    b'"a string"',
    b'{"type":"assistant"}',
    b'{"type":"assistant","message":{"content":"no list"}}',
    b'{"type":"assistant","message":{"content":[{"type":"text"}]}}',
    b'{"type":"assistant","message":{"content":[{"type":"text","text":7}]}}',
    b'{"type":"assistant","message":{"content":[{"type":"text","text":NaN}]}}',
    b'{"type":"stream_event"}',
    b'{"type":"stream_event","event":{"type":"content_block_delta"}}',
    b'{"type":"user"}',
    b'{"type":"user","message":{"content":[null]}}',
    b'{"type":"constructor"}',
    b'{"type":"__proto__"}',
)


async def test_what_cannot_be_shown_costs_only_itself(page: Page) -> None:
    agent = ScriptedAgent()
    half = rb'{"type":"assistant","message":{"content":[{"type":"text","text":"half a \ud800 character"}]}}'
    agent.on("odd", Say("before"), *map(Line, ODD), Line(half), Say("after"))
    async with tri.open_manager(agent) as manager, open_gateway(manager, port=0) as gateway:
        await manager.session("a").ask("odd")
        await page.open(address(gateway.port, "a"))
        await page.see(".ending", "answered")
        await page.see("#state", "idle")
        shown = "return [...document.querySelectorAll('.said')].map((each) => each.textContent.toWellFormed())"
        assert await page.script(shown) == ["before", "half a \ufffd character", "after"]
        assert len(await page.texts("#log > p.note")) > 3
        assert await page.complaints() == []


async def test_what_stood_in_a_turn_is_forgotten_with_it(page: Page) -> None:
    events = """
        const { Conversation } = await import("/conversation.js");
        const shown = new Conversation({ may: () => true });
        const message = { id: "", request: { tool_name: "Bash", input: {} } };
        for (let seq = 1; seq <= 250; seq++)
            shown.take([{ seq, turn: `${seq}`, kind: "#permission_asked", message: { ...message, id: `${seq}` } }]);
        return [shown.asks, document.querySelectorAll(".ask").length];
    """
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        await page.open(address(gateway.port))
        await page.see("#link", "local")
        assert await page.script(f"return (async () => {{ {events} }})()") == [200, 200]


async def test_everything_is_reached_by_keys(page: Page) -> None:
    async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
        for key in ("a", "b"):
            await answered(manager, key, "Hello")
        await page.open(address(gateway.port))
        await page.see("#sessions .row", times=2)
        await page.press("/")
        assert (await page.focus())[0] == "filter"
        await page.press(Keys.ARROW_DOWN)
        await page.press(Keys.ARROW_DOWN)
        await page.press(Keys.ENTER)
        await page.see("#title", "b")
        while (await page.focus())[0] != "prompt":
            await page.press(Keys.TAB)
        await page.press('Use the tool run_tests with {"folder": "tests"}', Keys.ENTER)
        await page.see(".ask[data-state=open]")
        while (await page.focus()) != ("button main", "Allow"):
            await page.press(Keys.SHIFT + Keys.TAB)
        await page.press(Keys.SPACE)
        await page.see(".said", "148 passed")
        outline = await page.script(
            "document.getElementById('prompt').focus(); return getComputedStyle(document.activeElement).outlineStyle"
        )
        assert outline == "solid", "where the focus is can be seen"


async def test_a_token_is_asked_for_and_says_what_may_be_done(page: Page) -> None:
    tokens = MemoryTokens()
    full, watching = tokens.add("ada"), tokens.add("tv", rights=["watch"], prefix="a/")
    async with open_stage() as manager, open_gateway(manager, port=0, tokens=tokens) as gateway:
        for key in ("a/1", "b/1"):
            await answered(manager, key, "Hello")
        await page.open(address(gateway.port))
        await page.see("#door", "This gateway wants a token")
        await page.type("#token", "tri_00000000_wrong")
        await page.see("#link", "token wanted")
        await page.type("#token", watching)
        await page.see("#link", "tv")
        await page.gone("#door")
        await page.see("#sessions .row", times=1)
        await page.open(address(gateway.port, "a%2F1"))
        await page.see(".said", "Hello")
        assert await page.script("return document.getElementById('prompt').disabled") is True
        assert await page.script("return document.getElementById('interrupt').disabled") is True
        tokens.revoke(id_of(watching))
        await page.see("#door")
        await page.type("#token", full)
        await page.see("#sessions .row", times=2)
        await page.type("#prompt", "Say more")
        await page.see(".said", "more")
        assert full not in await page.script("return location.href")
        assert await page.script("return [localStorage.length, document.cookie]") == [0, ""]


async def test_a_token_that_may_not_watch_and_an_address_that_is_none(page: Page) -> None:
    tokens = MemoryTokens()
    async with open_stage() as manager, open_gateway(manager, port=0, tokens=tokens) as gateway:
        await page.open(address(gateway.port, "%zz"))
        await page.type("#token", tokens.add("bot", rights=["prompt"]))
        await page.see("#more", "This token may not watch")
        assert await page.complaints() == []


async def test_it_continues_when_the_server_was_killed(page: Page, tmp_path: Path) -> None:
    store = str(tmp_path / "sessions.db")
    with open_server("--store", store) as (server, port):
        await page.open(address(port, "a"))
        await page.type("#prompt", "Say one")
        await page.see(".ending", "answered")
        await page.type("#prompt", "Count to 10000")
        await page.type("#prompt", "Say two")
        await page.see(".live", "1 2 3")
        server.kill()
    await page.see("#link", "reconnecting")
    with open_server("--store", store, port=port):
        await page.see(".said", "two")
        await page.see("#state", "idle")
        assert [text.split()[0] for text in await page.texts(".ending")] == ["answered", "lost", "answered"]
        assert await page.texts(".asked") == ["Say one", "Count to 10000", "Say two"]
        assert await page.texts(".live") == []


@contextmanager
def open_server(*arguments: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`triologue serve`, and its port."""
    program = [sys.executable, "-m", "triologue", "serve", "--agent", "embedded", "--port", str(port), *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline().partition("/  ")[0].rpartition(":")[2])
        finally:
            process.kill()


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_it_fits(size: str, is_dark: bool) -> None:
    width, height = SIZES[size]
    with open_page(width, height, is_dark=is_dark) as page:
        async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
            await _play(manager)
            await page.open(address(gateway.port))
            await page.see("#sessions .row", times=9)
            name = f"gateway-{size}-{'dark' if is_dark else 'light'}"
            if name == "gateway-phone-dark":  # the docs show both panes
                await page.screenshot(name)
            await page.click("#sessions .row")
            await page.see(".ask[data-state=open]")
            await page.see("#state", "running")
            if name != "gateway-phone-dark":
                await page.screenshot(name)
            assert await page.script("return document.documentElement.scrollWidth") == width
            if size == "phone":
                await page.click("[data-show=timeline]")
            await page.see("#timeline .word", "asks")
            assert await page.complaints() == []


async def test_on_a_phone_the_session_that_is_open_is_found_again_in_the_list() -> None:
    with open_page(*SIZES["phone"]) as page:
        async with open_stage() as manager, open_gateway(manager, port=0) as gateway:
            await answered(manager, "a", "Hello")
            await page.open(address(gateway.port))
            for _ in range(2):
                await page.click("#sessions .row")
                await page.see(".said", "What can I do for you?")
                await page.click("[data-show=sessions]")
                await page.gone(".said")


async def _play(manager: tri.SessionManager) -> None:
    """What the screenshots show."""
    quiet = (
        "team-a/changelog",
        "team-a/flaky-tests",
        "team-b/invoices",
        "team-b/onboarding",
        "night/docs",
        "night/locks",
    )
    for key in quiet:
        await answered(manager, key, "Count to 12")
    await manager.session("team-b/import").send("Wait 600 seconds")
    await manager.session("team-b/import").send("Say then the rest")
    await manager.session("night/backup").send("Wait 600 seconds")
    release = "team-a/release-2.4"
    await answered(
        manager,
        release,
        "Say Two things are left before 2.4 can go out: the tests of the importer, and its deployment.\n\n"
        "```\nmake -C importer check\n```\nI will run the tests first.",
    )
    await answered(manager, release, 'Use the tool run_tests with {"folder": "importer/tests"}')
    await manager.session(release).send('Use the tool deploy with {"service": "importer", "version": "2.4.0"}')
    while not manager.permissions():
        await trio.sleep(0.01)
