"""Words are found in prompts and answers, and shown with what stands around them."""

from hypothesis import given, strategies as st

from triologue.cli.sessions.matching import Hit, Search
from triologue.messages import AssistantMessage, Message, TextBlock, TurnAccepted, UserMessage
from triologue.messages.conversation import AssistantBody, UserBody
from triologue.ports import Record
from triologue.wire import encode_record, kind_of


def record(message: Message) -> Record:
    return Record(seq=3, turn_id="t", kind=kind_of(message), time=5.0, line=encode_record(message))


def prompt(said: str) -> Record:
    return record(TurnAccepted(prompt=UserMessage(message=UserBody(content=said)), meta={}))


def answer(said: str, parent: str | None = None) -> Record:
    body = AssistantBody(content=[TextBlock(text=said)], model="m")
    return record(AssistantMessage(message=body, parent_tool_use_id=parent))


def test_a_place() -> None:
    found = Search("the\n needle").look_at("k", prompt(f"{'hay ' * 10}\nThe   Needle\x1b[31m {'hay ' * 20}"))
    assert found == Hit(
        key="k",
        seq=3,
        turn_id="t",
        time=5.0,
        who="prompt",
        before="…y hay hay hay hay hay hay hay ",
        match="The Needle",
        after="[31m " + ("hay " * 20)[:55] + "…",
    )


def test_what_is_looked_at() -> None:
    search = Search("a.c")
    assert [bool(search.look_at("k", each)) for each in (answer("A.C"), answer("abc"), answer("a.c", "sub-agent"))] == [
        True,
        False,
        False,
    ]
    assert search.look_at("k", Record(seq=1, turn_id=None, kind="result", time=0.0, line=b'{"result":"a.c"}')) is None


@given(st.text(), st.text(min_size=1).filter(str.strip), st.text())
def test_what_was_said_is_found(before: str, wanted: str, after: str) -> None:
    said = f"{before}{wanted}{after}"
    printed = " ".join(said.split())
    found = Search(wanted).look_at("k", answer(said))
    if found is not None:
        assert found.match.split() or not wanted.split()
    elif wanted.isprintable() and said.isprintable():
        assert " ".join(wanted.split()) not in printed
