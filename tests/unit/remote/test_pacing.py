"""Prompts that have waited for a connection are said again one by one, in the order of asking."""

from typing import final

import msgspec

from triologue.protocol import asked, told
from triologue.protocol.codes import TOO_MANY
from triologue.remote.machine import Machine


@final
class Wire:
    """A client of whose requests the gateway takes those that it is told to."""

    def __init__(self) -> None:
        self.machine = Machine(None, "test", held_bytes=1, max_waiting=10)

    def ask(self, turn: str) -> None:
        self.machine.ask(asked.Prompt(id=0, key="k", prompt="hello", turn=turn), began=self.machine.connection)

    def connect(self) -> None:
        welcome = told.Welcome(
            version="1", name="local", rights=["prompt"], prefix="", max_frame_bytes=1_000, max_requests=10
        )
        self.machine.receive(msgspec.json.encode(welcome))

    def said(self, *, taken: str = "") -> str:
        """The turns that are asked for now; those that are not `taken` come too early."""
        prompts = [msgspec.json.decode(frame, type=asked.Prompt) for frame in self.machine.take()]
        for each in prompts:
            turn = each.turn or ""
            answer: told.Reply
            if turn in taken:
                answer = told.Accepted(re=each.id, key="k", turn=turn, state="waiting", position=0, seq=0)
            else:
                answer = told.Failed(re=each.id, code=TOO_MANY, message="too many", data={"retry_in": 1.0})
            self.machine.receive(msgspec.json.encode(answer))
        return "".join(each.turn or "" for each in prompts)

    def next(self, *, taken: str = "") -> str:
        self.machine.go_on()
        return self.said(taken=taken)


def test_what_is_asked_meanwhile_comes_behind_them() -> None:
    wire = Wire()
    for turn in "abc":
        wire.ask(turn)
    wire.connect()
    assert wire.said(taken="a") == "abc"
    wire.ask("d")
    assert wire.said() == ""
    assert [wire.next(taken="cd") for _ in range(2)] == ["b", "b"], "another client of the token was faster"
    assert [wire.next(taken="bcd") for _ in range(4)] == ["b", "c", "d", ""]
    assert wire.machine.pause is None
    wire.ask("e")
    assert wire.said(taken="e") == "e"


def test_one_that_was_put_off_for_others_is_not_refused_when_it_is_the_last() -> None:
    wire = Wire()
    wire.ask("a")
    wire.connect()
    assert wire.said() == "a"
    wire.ask("b")
    assert [wire.next(taken="a") for _ in range(3)] == ["a", "b", "b"]


def test_the_next_connection_has_them_in_that_order_too() -> None:
    wire = Wire()
    for turn in "abc":
        wire.ask(turn)
    wire.connect()
    assert wire.said() == "abc"
    assert wire.next() == "a"
    wire.ask("d")
    wire.machine.lost()
    wire.connect()
    assert wire.said() == "abcd"
