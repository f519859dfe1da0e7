"""Which conversation an engine takes part in."""

from typing import Any
from uuid import uuid4

import pytest

from tests.unit.engine.stage import Host, ids, open_engine, talk
from triologue.engine import Transcripts
from triologue.engine.profile import Profile
from triologue.messages import AssistantMessage, Initialize, ResultMessage
from triologue.ports import Exit

A = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
B = "BBBBBBBB-BBBB-4BBB-8BBB-BBBBBBBBBBBB"
UNKNOWN = "99999999-9999-4999-8999-999999999999"


@pytest.fixture
async def transcripts() -> Transcripts:
    """Two conversations; in `A` the user likes Python, in `B`, the later one, tea."""
    kept = Transcripts()
    await talk("Remember: I like Python", session_id=A, transcripts=kept)
    await talk("Remember: I like tea", session_id=B, transcripts=kept)
    return kept


async def ask(transcripts: Transcripts, prompt: str = "What do I like?", **options: Any) -> Host:
    return await talk(prompt, transcripts=transcripts, **options)


async def test_a_chosen_id_is_used_as_it_is(transcripts: Transcripts) -> None:
    assert B in transcripts
    assert transcripts.get(B.lower()) is None


async def test_resume_goes_on_with_memory_and_costs(transcripts: Transcripts) -> None:
    host = await ask(transcripts, resume=A)
    (result,) = host.results
    assert (result.session_id, result.result, result.result_index) == (A, "You like Python.", 0)
    assert result.total_cost_usd is not None
    assert result.total_cost_usd > 0.0003  # the first turn's is in it
    assert len(transcripts) == 2


async def test_continue_takes_the_latest_of_the_folder(transcripts: Transcripts) -> None:
    assert (await ask(transcripts, continue_conversation=True)).results[0].session_id == B
    await ask(transcripts, resume=A)
    assert (await ask(transcripts, continue_conversation=True, resume=B)).results[0].session_id == A
    fresh = await talk("What do I like?", transcripts=Transcripts(), continue_conversation=True)
    assert fresh.results[0].result == "You have not told me that yet."


async def test_a_fork_leaves_the_original_alone(transcripts: Transcripts) -> None:
    host = await ask(transcripts, "Remember: I like cats", resume=A, fork_session=True, session_id=UNKNOWN)
    assert host.results[0].session_id == UNKNOWN
    assert (await ask(transcripts, resume=UNKNOWN)).results[0].result == "You like Python and you like cats."
    assert (await ask(transcripts, resume=A)).results[0].result == "You like Python."
    other = await ask(transcripts, resume=A, fork_session=True, new_id=ids())
    assert other.results[0].session_id == "00000000-0000-0000-0000-000000000001"


async def test_a_fork_is_kept_at_once_where_init_is_said_unasked(transcripts: Transcripts) -> None:
    profile = Profile(greets=True)
    async with open_engine(
        profile=profile, transcripts=transcripts, resume=A, fork_session=True, session_id=UNKNOWN
    ) as host:
        host.send(host.request(Initialize()))
    assert (await ask(transcripts, resume=UNKNOWN)).results[0].result == "You like Python."


async def test_fork_alone_means_nothing(transcripts: Transcripts) -> None:
    assert (await ask(transcripts, fork_session=True)).results[0].result == "You have not told me that yet."


async def test_a_conversation_is_cut_behind_a_message(transcripts: Transcripts) -> None:
    host = await ask(transcripts, "Remember: I like cats", resume=A, new_id=lambda: str(uuid4()))
    (answer,) = [message.uuid for message in host.said if isinstance(message, AssistantMessage)]
    await ask(transcripts, "Remember: I like dogs", resume=A)
    cut = await ask(transcripts, resume=A, resume_session_at=answer, fork_session=True)
    assert cut.results[0].result == "You like Python and you like cats."
    assert len((await ask(transcripts, resume=A)).results[0].result or "") > 40
    await ask(transcripts, resume=A, resume_session_at=answer)
    assert (await ask(transcripts, resume=A)).results[0].result == "You like Python and you like cats."


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resume": UNKNOWN}, f"No conversation found with session ID: {UNKNOWN}"),
        ({"resume": A, "resume_session_at": "x"}, "No message found with message.uuid of: x"),
    ],
)
async def test_what_is_not_there_is_refused_before_anything_is_read(
    transcripts: Transcripts, options: dict[str, Any], told: str
) -> None:
    async with open_engine(transcripts=transcripts, **options) as host:
        host.send(host.request(Initialize()), host.prompt("Hello"))
    assert host.said == [
        ResultMessage(
            subtype="error_during_execution",
            duration_ms=0,
            duration_api_ms=0,
            is_error=True,
            num_turns=0,
            session_id=options["resume"],
            total_cost_usd=0,
            uuid="00000000-0000-0000-0000-000000000001",
            errors=[told],
            result_index=0,
        )
    ]
    assert host.exit == Exit(code=1, stderr_tail=f"{told}\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"session_id": A}, f"Error: Session ID {A} is already in use."),
        ({"session_id": "nope"}, "Error: Invalid session ID. Must be a valid UUID."),
        ({"session_id": A.replace("-", "")}, "Error: Invalid session ID. Must be a valid UUID."),
        (
            {"session_id": UNKNOWN, "resume": A},
            "Error: --session-id with --continue or --resume also needs --fork-session.",
        ),
        ({"session_id": B, "resume": A, "fork_session": True}, f"Error: Session ID {B} is already in use."),
        ({"resume_session_at": "x"}, "Error: --resume-session-at needs --resume."),
    ],
)
async def test_what_cannot_be_is_told_on_stderr_only(
    transcripts: Transcripts, options: dict[str, Any], told: str
) -> None:
    host = await ask(transcripts, **options)
    assert (host.said, host.exit) == ([], Exit(code=1, stderr_tail=f"{told}\n"))


async def test_a_uuid_is_known_after_a_resume_but_not_in_a_fork(transcripts: Transcripts) -> None:
    async with open_engine(transcripts=transcripts, resume=A) as host:
        host.send(host.prompt("one", "p1"))
    async with open_engine(transcripts=transcripts, resume=A) as host:
        host.send(host.prompt("one", "p1"))
    assert host.story == ["completed p1"]
    async with open_engine(transcripts=transcripts, resume=A, fork_session=True) as host:
        host.send(host.prompt("one", "p1"))
    assert len(host.results) == 1


async def test_a_cut_may_have_to_drop_exactly_one_turn() -> None:
    transcripts = Transcripts()
    async with open_engine(transcripts=transcripts, session_id=A) as host:
        for uuid in ("p1", "p2", "p3"):
            host.send(host.prompt(f"Say {uuid}", uuid))
    first, second, third = (m.uuid or "" for m in host.said if isinstance(m, AssistantMessage))
    for at, prompt, why in (
        (second, "p3", None),
        (second, "p2", f"the turn after {second} is not that of p2"),
        (first, "p2", "there is more than one turn to be cut off"),
        (third, "p3", f"what comes after {third} does not begin with a prompt"),
        ("p1", "p1", "what comes after p1 does not begin with a prompt"),
    ):
        options = {"resume": A, "resume_session_at": at, "resume_drops_turn": prompt, "fork_session": True}
        host = await ask(transcripts, "Hello", **options)
        errors = host.results[0].errors
        assert errors == (None if why is None else [f"Resume rejected by --resume-drops-turn: {why}"])


async def test_what_is_to_be_dropped_needs_a_cut(transcripts: Transcripts) -> None:
    host = await ask(transcripts, resume=A, resume_drops_turn="p1")
    assert host.exit == Exit(code=1, stderr_tail="Error: --resume-drops-turn needs --resume-session-at.\n")
