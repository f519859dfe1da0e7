"""Text of classes of their own, such as one of numpy's, is text as any other: here, in a store, and for an agent."""

from pathlib import Path

import triologue as tri
from triologue.messages import UnknownBlock, user_message
from triologue.testing import ScriptedAgent
from triologue.wire import encode


class Text(str):
    """No encoder knows it."""

    __slots__ = ()


async def test_it_is_kept_and_said(tmp_path: Path) -> None:
    agent, path = ScriptedAgent(), tmp_path / "sessions.db"
    env: dict[str, str] = {"A": Text("b")}
    options = tri.Options(model=Text("small"), system_prompt=Text("Be brief."), env=env)
    async with tri.SqliteStore(path) as store, tri.open_manager(agent, store=store) as manager:
        session = manager.session(Text("k"), options=options)
        await session.ask(Text("hello"), id=Text("t"), meta={Text("by"): Text("me")})
        await session.ask([tri.TextBlock(text=Text("and now?"))])
        await session.set_model(Text("large"))
    async with tri.SqliteStore(path) as store, tri.open_manager(agent, store=store) as manager:
        turn = await manager.session("k").find("t")
        assert turn is not None
        assert turn.meta == {"by": "me"}
        await manager.session("k").send(Text("hello"), id="t")
        head = await store.get_session("k")
        assert head is not None
        assert head.settings["model"] == "large"
    assert [prompt.text for prompt in agent.prompts] == ["hello", "and now?"]


def test_so_it_is_beside_a_block_that_is_unknown() -> None:
    blocks: list[tri.ContentBlock] = [tri.TextBlock(text=Text("so")), UnknownBlock(data={"type": "odd"})]
    frame = encode(user_message(blocks))
    assert (
        frame == b'{"type":"user","message":{"content":[{"type":"text","text":"so"},{"type":"odd"}],"role":"user"}}\n'
    )
