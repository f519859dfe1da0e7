"""Conversations as they are kept."""

from triologue.engine import Transcript, Transcripts
from triologue.engine.transcripts import LONG


def test_what_was_silent_the_longest_is_forgotten() -> None:
    kept = Transcripts(limit=2)
    first, second, third = (Transcript(name, "/here") for name in "abc")
    kept.keep(first)
    kept.keep(second)
    kept.keep(first)
    kept.keep(third)
    assert (len(kept), kept.get("a"), kept.get("b"), kept.get("c")) == (2, first, None, third)
    assert "b" not in kept
    assert repr(kept) == "<Transcripts: 2 of at most 2>"
    kept.forget("a")
    kept.forget("a")
    assert (kept.latest("/here"), kept.latest("/there")) == (third, None)


def test_a_copy_is_independent() -> None:
    original = Transcript("a", "/here")
    original.add("user", "hi", ["u1"])
    original.add("assistant", [{"type": "tool_use", "id": "t", "name": "x", "input": {}}], ["u2"])
    growing = original.add("user", [], [])
    assert len(original.messages()) == 2  # a message without content is none yet
    fork = original.fork("b")
    growing.add({"type": "tool_result", "tool_use_id": "t", "content": "1"}, "u3")
    assert len(original.messages()) == 3
    fork.mend()
    assert [m["role"] for m in fork.messages()] == ["user", "assistant", "user"]
    original.mend()
    assert len(original.messages()) == 3


def test_the_messages_of_a_long_conversation_are_made_once() -> None:
    said = Transcript("a", "/here")

    def check() -> None:
        told = said.messages()
        assert list(told) == [{"role": each.role, "content": each.content} for each in said.entries if each.content]

    for number in range(3 * LONG):
        said.add("user", str(number), [f"p{number}"])
        check()
        growing = said.add("assistant", [], [])
        check()
        growing.add({"type": "text", "text": "1"}, f"u{number}")
        growing.add({"type": "text", "text": "2"}, f"v{number}")
        check()
    before, after = said.messages(), said.messages()
    assert all(one is other for one, other in zip(before[:-1], after[:-1], strict=True))
    for left in (4 * LONG, 4 * LONG - 1, LONG + 1, LONG, 1):
        del said.entries[left:]
        check()
    said.entries.clear()
    assert said.messages() == ()


def test_a_cut_is_inclusive_and_may_go_through_a_message() -> None:
    original = Transcript("a", "/here")
    original.add("user", [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}], ["p1"])
    original.add("assistant", [{"type": "text", "text": "3"}, {"type": "text", "text": "4"}], ["u1", "u2"])
    original.add("user", "more", ["p2"])
    original.prompts = {"p1": "completed", "p2": "completed"}
    cut = original.until("u1")
    assert cut is not None
    assert [entry.content for entry in cut.entries] == [
        [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}],
        [{"type": "text", "text": "3"}],
    ]
    assert (cut.session_id, cut.prompts) == ("a", {"p1": "completed"})
    whole = original.until("p1")
    assert whole is not None
    assert whole.messages() == original.messages()[:1]
    assert original.until("gone") is None
