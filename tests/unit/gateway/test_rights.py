"""Who may do what: rights, prefixes, answers to permission requests, and what becomes of a token's work when it is gone."""

import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.gateway import Client, House, house
from tests.support.slow_store import SlowStore
from triologue.gateway.rights import TOKEN_META
from triologue.gateway.tokens import RIGHTS, Grant, MemoryTokens
from triologue.protocol import asked, told
from triologue.stores import MemoryStore
from triologue.testing import Say, ScriptedAgent, UseTool, Wait

OF_RIGHT: dict[str, list[tuple[type[asked.Request], dict[str, object]]]] = {
    "watch": [
        (asked.Attach, {"key": "k"}),
        (asked.Detach, {"key": "k"}),
        (asked.ListSessions, {}),
        (asked.Explain, {"key": "k"}),
    ],
    "prompt": [
        (asked.Prompt, {"key": "k", "prompt": "hi"}),
        (asked.Command, {"key": "k", "command": "/compact"}),
        (asked.Interrupt, {"key": "k"}),
        (asked.Cancel, {"key": "k", "turn": "t"}),
        (asked.Fork, {"key": "k", "to": "copy"}),
    ],
    "approve": [(asked.Answer, {"permission": "p", "allow": True})],
    "admin": [
        (asked.Change, {"key": "k", "model": "big"}),
        (asked.Reset, {"key": "k"}),
        (asked.Hibernate, {"key": "k"}),
        (asked.Close, {"key": "k"}),
        (asked.Delete, {"key": "k"}),
    ],
}


def new_agent() -> ScriptedAgent:
    agent = ScriptedAgent()
    agent.on("long", Wait(300))
    agent.on("tool", UseTool("Bash", {"command": "rm"}, asks=True), Say("done"))
    return agent


@asynccontextmanager
async def stage(store: MemoryStore | None = None) -> AsyncGenerator[tuple[House, tri.SessionManager, MemoryTokens]]:
    tokens = MemoryTokens()
    async with tri.open_manager(
        new_agent(), store=store, on_permission=lambda request: None, deadlines=tri.Deadlines(drain=0)
    ) as manager:
        async with house(manager, tokens=tokens) as gateway:
            yield gateway, manager, tokens


@pytest.mark.parametrize("token", [None, "", "tri_", "tri_00000000_secret", "x" * 500, "é", "\0"])
async def test_who_has_no_token_is_closed_and_hears_no_more(token: str | None, autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _, tokens):
        tokens.add("ann")
        client = await gateway.dial()
        await client.say(asked.Hello(token=token))
        assert await client.wait_closed() == (4401, "no token, or none that is valid")
        assert client.order == []


async def test_another_secret_of_a_token_that_there_is_is_none(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _, tokens):
        right = tokens.add("ann")
        client = await gateway.dial()
        await client.say(asked.Hello(token=right[:-1] + ("A" if right[-1] != "A" else "B")))
        assert await client.wait_closed() == (4401, "no token, or none that is valid")
        assert (await (await gateway.dial()).hello(right)).name == "ann"


async def test_a_right_is_for_what_it_names_and_for_nothing_else(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _, tokens):
        for right in sorted(RIGHTS):
            client = await gateway.client(tokens.add(right, rights=[right]))
            assert client.welcome is not None
            assert client.welcome.rights == [right]
            for needed, requests in OF_RIGHT.items():
                for kind, fields in requests:
                    reply = await client.ask(kind, **fields)
                    is_forbidden = isinstance(reply, told.Failed) and reply.code == "forbidden"
                    assert is_forbidden == (needed != right), (right, kind)


async def test_a_key_outside_the_prefix_does_not_exist(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        await manager.session("ann/secret").ask("hello")
        client = await gateway.client(tokens.add("bob", prefix="bob/"))
        requests = [
            (kind, {**fields, "key": key})
            for key in ("ann/secret", "ann/none", "bob", "", "../bob/x", "x" * 100_000, "ann\0")
            for requests in OF_RIGHT.values()
            for kind, fields in requests
            if "key" in fields
        ]
        replies = [await client.ask(kind, **fields) for kind, fields in requests]
        assert {(reply.code, reply.message) for reply in replies if isinstance(reply, told.Failed)} == {
            ("not_found", "there is no such session, or not for this token")
        }
        assert all(isinstance(reply, told.Failed) for reply in replies)
        assert await client.fails(asked.Fork, key="bob/x", to="ann/new") == "not_found"
        assert [each.key for each in manager.sessions()] == ["ann/secret"]
        for prefix in ("", "ann/", "b", "bob/"):
            listed = await client.ask(asked.ListSessions, prefix=prefix)
            assert listed == told.Sessions(re=listed.re, sessions=[], is_last=True)
        assert isinstance(await client.ask(asked.Prompt, key="bob/x", prompt="hi"), told.Accepted)
        listed = await client.ask(asked.ListSessions)
        assert isinstance(listed, told.Sessions)
        assert [each.key for each in listed.sessions] == ["bob/x"]


async def test_who_may_not_watch_knows_of_its_own_turns_only(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        await manager.session("k").ask("a secret", id="other")
        client = await gateway.client(tokens.add("ann", rights=["prompt"]))
        await client.ask(asked.Prompt, key="k", prompt="hi", turn="mine")
        await trio.sleep(1)
        for kind in (asked.TurnOf, asked.Cancel):
            mine = await client.ask(kind, key="k", turn="mine")
            assert isinstance(mine, told.TurnTold)
            assert mine.state == "ended"
            assert await client.fails(kind, key="k", turn="other") == "not_found"
        watcher = await gateway.client(tokens.add("eve", rights=["watch"]))
        assert isinstance(await watcher.ask(asked.TurnOf, key="k", turn="other"), told.TurnTold)


async def test_a_permission_is_answered_once_and_by_those_who_may(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        await manager.session("ann/k").send("tool")
        await wait_all_tasks_blocked()
        (request,) = manager.permissions()
        ann = await gateway.client(tokens.add("ann", prefix="ann/", rights=["watch", "approve"]))
        eve = await gateway.client(tokens.add("eve", prefix="eve/", rights=["watch", "approve"]))
        nothing = await eve.ask(asked.Permissions)
        assert nothing == told.OpenPermissions(re=nothing.re, permissions=[])
        guesses = [await eve.ask(asked.Answer, permission=id, allow=True) for id in (request.id, "none")]
        assert [(each.code, each.message) for each in guesses if isinstance(each, told.Failed)] == [
            ("not_found", "there is no such permission request, or not for this token")
        ] * 2
        open_ones = await ann.ask(asked.Permissions)
        assert isinstance(open_ones, told.OpenPermissions)
        (shown,) = open_ones.permissions
        assert (shown.id, shown.key, shown.tool, shown.input) == (request.id, "ann/k", "Bash", {"command": "rm"})
        assert isinstance(await ann.ask(asked.Answer, permission=shown.id, allow=False, message="no"), told.Done)
        late = await ann.ask(asked.Answer, permission=shown.id, allow=True)
        assert isinstance(late, told.Failed)
        assert (late.code, late.data) == ("already_answered", {"by": "ann", "answer": "deny"})


@pytest.mark.parametrize("is_first_here", [False, True], ids=["a client's is first", "the program's is first"])
async def test_of_two_who_answer_at_the_same_moment_one_is_told_what_the_other_said(
    is_first_here: bool, autojump_clock: MockClock
) -> None:
    async with stage() as (gateway, manager, tokens):
        await manager.session("k").send("tool")
        await wait_all_tasks_blocked()
        (request,) = manager.permissions()
        clients = [await gateway.client(tokens.add(name)) for name in ("ann", "bob")]
        said: list[tuple[str | None, str] | None] = []

        async def here() -> None:
            try:
                await request.deny("no", by="here")
            except tri.AlreadyAnswered as error:
                said.append((error.by, error.answer))
            else:
                said.append(None)

        async def there(client: Client) -> None:
            reply = await client.ask(asked.Answer, permission=request.id, allow=True)
            if isinstance(reply, told.Failed):
                assert reply.code == "already_answered"
                said.append((reply.data["by"], reply.data["answer"]))
            else:
                said.append(None)

        async with trio.open_nursery() as nursery:
            if is_first_here:
                nursery.start_soon(here)
            for client in clients:
                nursery.start_soon(there, client)
            if not is_first_here:
                nursery.start_soon(here)
        answer = await request.wait()
        assert sorted(map(str, said)) == sorted(map(str, [None, *[(answer.by, answer.answer)] * 2]))
        log = await manager.session("k").read(limit=1_000)
        assert [each.message for each in log if isinstance(each.message, tri.PermissionAnswered)] == [answer]


async def test_who_only_watches_sees_a_permission_request_and_cannot_answer_it(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        client = await gateway.client(tokens.add("eve", rights=["watch"]))
        await client.ask(asked.Attach, key="k", after=0)
        await manager.session("k").send("tool")
        await wait_all_tasks_blocked()
        (request,) = manager.permissions()
        shown = [each.message for each in client.events["k"] if isinstance(each.message, tri.PermissionAsked)]
        assert [each.id for each in shown] == [request.id]
        listed = await client.ask(asked.Permissions)
        assert isinstance(listed, told.OpenPermissions)
        assert [each.id for each in listed.permissions] == [request.id]
        for id in (request.id, "none"):
            assert await client.fails(asked.Answer, permission=id, allow=True) == "forbidden"
        assert request.answered is None


@pytest.mark.parametrize("key", ["ann/there", "ann/none"])
async def test_what_is_outside_the_prefix_is_told_by_nothing(key: str, autojump_clock: MockClock) -> None:
    """Every answer is the same whether there is such a session or not, but for what was asked."""
    async with stage(MemoryStore()) as (gateway, manager, tokens):
        await manager.session("ann/there").ask("hello", id="t")
        await manager.session("bob/x").ask("hello")
        (id,) = [each.session_id for each in manager.sessions() if each.key == "ann/there"]
        client = await gateway.client(tokens.add("bob", prefix="bob/"))
        refused = ("not_found", "there is no such session, or not for this token", {"key": key})
        for kind in (asked.Attach, asked.Prompt, asked.Explain, asked.TurnOf, asked.Fork, asked.Delete):
            fields = {
                asked.Prompt: {"prompt": "hi", "turn": "t"},
                asked.TurnOf: {"turn": "t"},
                asked.Fork: {"to": "bob/y"},
            }
            reply = await client.ask(kind, key=key, **fields.get(kind, {}))
            assert isinstance(reply, told.Failed)
            assert (reply.code, reply.message, reply.data) == refused
        reply = await client.ask(asked.Fork, key="bob/x", to=key)
        assert isinstance(reply, told.Failed)
        assert (reply.code, reply.message, reply.data) == refused
        for prefix in ("", key, "ann/"):
            listed = await client.ask(asked.ListSessions, prefix=prefix)
            assert isinstance(listed, told.Sessions)
            assert [each.key for each in listed.sessions] == (["bob/x"] if not prefix else [])
        attached = await client.ask(asked.Attach, key=f"bob/{id}", after=0)  # nor by its other name
        assert isinstance(attached, told.Attached)
        assert (attached.state, attached.last) == ("new", 0)


async def test_a_reply_that_cannot_be_written_down_is_a_bug_that_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as (gateway, manager, tokens):
        await manager.session("k").send("tool")
        await wait_all_tasks_blocked()
        (request,) = manager.permissions()
        await request.allow(by="half a character: \ud800")
        client = await gateway.client(tokens.add("ann"))
        assert await client.fails(asked.Answer, permission=request.id, allow=True) == "internal"
        assert [record.message for record in caplog.records] == ["a request of the kind 'Answer' broke"]


async def test_a_token_that_is_revoked_is_closed_and_what_waits_for_it_is_withdrawn(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        mine, other = tokens.add("mine"), tokens.add("other")
        client, witness = await gateway.client(mine), await gateway.client(other)
        await client.ask(asked.Prompt, key="k", prompt="long", turn="running")
        await client.ask(asked.Prompt, key="k", prompt="hi", turn="waiting")
        await witness.ask(asked.Prompt, key="k", prompt="hi", turn="other")
        turns = {turn.id: turn for turn in manager.turns()}
        tokens.revoke(mine)
        assert await client.wait_closed() == (4401, "the token was revoked, was changed or has expired")
        await turns["waiting"].wait()
        await trio.sleep(301)
        outcomes = {id: turn.outcome.kind for id, turn in turns.items() if turn.outcome is not None}
        assert outcomes == {"running": "answered", "waiting": "cancelled", "other": "answered"}
        assert witness.closed is None
        again = await gateway.dial()
        await again.say(asked.Hello(token=mine))
        assert (await again.wait_closed() or (0,))[0] == 4401


async def test_a_token_that_expires_is_as_one_that_is_revoked(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        client = await gateway.client(tokens.add("ann", expires=100.0))
        await client.ask(asked.Prompt, key="k", prompt="long", turn="running")
        await client.ask(asked.Prompt, key="k", prompt="hi", turn="waiting")
        turns = {turn.id: turn for turn in manager.turns()}
        await client.socket.aclose()
        await trio.sleep(99)
        assert turns["waiting"].state == "waiting"
        await trio.sleep(2)
        assert turns["waiting"].outcome is not None
        assert turns["waiting"].outcome.kind == "cancelled"
        assert turns["running"].state == "running"


async def test_of_tokens_that_were_revoked_before_they_expired_nothing_is_kept(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _, tokens):
        for _ in range(10):
            token = tokens.add("ann", expires=1e12)
            await gateway.client(token)
            assert tokens.revoke(token)
        await trio.sleep(60)  # the last connection is gone
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is Grant and each.expires == 1e12] == []


async def test_who_is_connected_when_its_token_expires_is_closed_then(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, _, tokens):
        client = await gateway.client(tokens.add("ann", expires=100.0))
        assert (await client.wait_closed() or (0,))[0] == 4401
        assert trio.current_time() == 100.0


class BusyStore(SlowStore):
    """Sessions are taken on when the disk lets them."""

    async def acquire(self, *args: Any, **more: Any) -> Any:
        await self._goes_on.wait()
        return await self.kept.acquire(*args, **more)


@pytest.mark.parametrize("is_there", [False, True], ids=["its client has left", "its client is there"])
@pytest.mark.parametrize("kind", [asked.Prompt, asked.Command])
async def test_what_is_on_its_way_in_when_its_token_is_revoked_does_not_run(
    kind: type[asked.Request], is_there: bool, autojump_clock: MockClock
) -> None:
    store, tokens, agent = BusyStore(), MemoryTokens(), new_agent()
    async with tri.open_manager(agent, store=store.as_store) as manager, house(manager, tokens=tokens) as gateway:
        token = tokens.add("ann")
        client = await gateway.client(token)
        store.hold()
        said = {"prompt": "hi"} if kind is asked.Prompt else {"command": "/compact"}
        await client.say(client.numbered(kind, key="k", **said))
        await wait_all_tasks_blocked()
        if not is_there:
            await client.socket.aclose()
            await trio.sleep(1)
        tokens.revoke(token)
        await wait_all_tasks_blocked()
        store.go_on()
        await trio.sleep(1)
        assert agent.prompts == []
        assert manager.turns() == []


async def test_a_token_that_is_gone_does_nothing_although_nobody_has_told_yet(autojump_clock: MockClock) -> None:
    """A file, say, that was read again for another reason."""
    now = 0.0
    tokens = MemoryTokens()
    async with tri.open_manager(new_agent()) as manager, house(manager, tokens=tokens, now=lambda: now) as gateway:
        client = await gateway.client(tokens.add("ann", expires=100.0))
        now = 100.0
        assert await client.fails(asked.Prompt, key="k", prompt="hi") == "forbidden"
        assert manager.sessions() == []


async def test_a_token_expires_by_the_clock_on_the_wall(autojump_clock: MockClock) -> None:
    ahead = 0.0
    tokens = MemoryTokens()
    async with (
        tri.open_manager(new_agent()) as manager,
        house(manager, tokens=tokens, now=lambda: trio.current_time() + ahead) as gateway,
    ):
        client = await gateway.client(tokens.add("ann", expires=10_000.0))
        await trio.sleep(10)
        ahead = 20_000.0  # the machine slept
        assert (await client.wait_closed() or (0,))[0] == 4401
        assert trio.current_time() <= 11.0


class SilentTokens:
    """A program's own, which tells of no change."""

    def __init__(self, kept: MemoryTokens) -> None:
        self.check = kept.check
        self.get: Callable[[str, float], Grant | None] = kept.get

    async def watch(self, on_change: Callable[[], None]) -> None:
        await trio.sleep_forever()


async def test_a_program_whose_tokens_cannot_be_asked_loses_their_turn_and_no_other(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    agent, kept = new_agent(), MemoryTokens()
    tokens = SilentTokens(kept)
    async with tri.open_manager(agent) as manager, house(manager, tokens=tokens) as gateway:
        turns = [await manager.session("k").send("long")]
        client = await gateway.client(kept.add("ann"))
        await client.ask(asked.Prompt, key="k", prompt="hi")
        turns += [manager.turns()[1], await manager.session("k").send("mine")]

        def get(id: str, now: float) -> None:
            raise OSError("the database is away")

        tokens.get = get
        assert [(await turn.wait()).kind for turn in turns] == ["answered", "cancelled", "answered"]
    assert "could not be found out; its turn does not begin" in caplog.text


@pytest.mark.parametrize("overlap", ["queue", "collect"])
async def test_whether_a_turn_may_run_is_looked_at_when_it_begins(
    overlap: tri.Overlap, autojump_clock: MockClock
) -> None:
    agent, kept = new_agent(), MemoryTokens()
    async with tri.open_manager(agent) as manager, house(manager, tokens=SilentTokens(kept)) as gateway:
        gone, stays = kept.add("gone"), kept.add("stays")
        turns = [await manager.session("k").send("long")]
        for name, token in (("gone", gone), ("stays", stays)):
            client = await gateway.client(token)
            await client.ask(asked.Prompt, key="k", prompt=f"of {name}", turn=name, overlap=overlap)
        turns += manager.turns()[1:]
        kept.revoke(gone)
        outcomes = {turn.id: (await turn.wait()).kind for turn in turns}
        assert [*outcomes.values()] == ["answered", "cancelled", "answered"]
        assert [prompt.text for prompt in agent.prompts] == ["long", "of stays"]


async def test_a_turn_that_waits_for_its_agent_does_not_begin_without_its_token(autojump_clock: MockClock) -> None:
    agent, kept = new_agent(), MemoryTokens()
    async with (
        tri.open_manager(agent, limits=tri.Limits(max_live=1)) as manager,
        house(manager, tokens=SilentTokens(kept)) as gateway,
    ):
        await manager.session("other").send("long")
        client = await gateway.client(token := kept.add("ann"))
        await client.ask(asked.Prompt, key="k", prompt="hi")
        turn = manager.turns()[1]
        kept.revoke(token)
        assert (await turn.wait()).kind == "cancelled"
        assert [prompt.text for prompt in agent.prompts] == ["long"]


async def test_a_turn_waits_no_more_whose_key_is_not_its_tokens_any_more(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        tokens.add("ann", prefix="ann/")  # and had none when these were sent
        meta = {TOKEN_META: tokens.grants()[0].id}
        turns = {}
        for key in ("ann/k", "bob/k"):
            await manager.session(key).send("long")
            turns[key] = await manager.session(key).send("hi", meta=meta)
        gateway.hall.rights.enforce()
        outcomes = {key: (await turn.wait()).kind for key, turn in turns.items()}
        assert outcomes == {"ann/k": "answered", "bob/k": "cancelled"}


async def test_what_an_earlier_host_left_of_a_token_that_is_gone_does_not_run(autojump_clock: MockClock) -> None:
    agent, store, tokens = new_agent(), MemoryStore(), MemoryTokens()
    gone, stays = tokens.add("gone"), tokens.add("stays")
    async with tri.open_manager(agent, store=store, deadlines=tri.Deadlines(drain=0)) as manager:
        async with house(manager, tokens=tokens) as gateway:
            await manager.session("k").send("long")
            for name, token in (("gone", gone), ("stays", stays)):
                client = await gateway.client(token)
                await client.ask(asked.Prompt, key="k", prompt=f"of {name}", turn=name)
    tokens.revoke(gone)
    async with tri.open_manager(agent, store=store) as manager, house(manager, tokens=tokens):
        outcomes = {each.turn.id: (await each.turn.wait()).kind for each in await manager.recover()}
        assert outcomes == {"gone": "cancelled", "stays": "answered"}
        assert "of gone" not in [prompt.text for prompt in agent.prompts]


async def test_nobody_can_send_a_prompt_as_another(autojump_clock: MockClock) -> None:
    async with stage() as (gateway, manager, tokens):
        client = await gateway.client(tokens.add("ann"))
        await client.ask(asked.Prompt, key="k", prompt="long", meta={"triologue.token": "other", "by": "ann"})
        (turn,) = manager.turns()
        assert turn.meta == {"triologue.token": tokens.grants()[0].id, "by": "ann"}
