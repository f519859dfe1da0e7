"""A machine of one's own: async operations and invariants among everything that can happen to sessions."""

import logging
from collections.abc import Iterator
from typing import ClassVar

import pytest
import trio
from hypothesis import Phase, settings, strategies as st

import triologue as tri
from triologue.testing import LawBroken, Program, Say, SessionMachine, invariant, operation, own

# Without hypothesis' explanations, which take long; the same way each time, because shrinking sometimes stops one step early.
FINDS = settings(
    max_examples=200, deadline=None, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink]
)


def seat_of(name: str) -> int:
    return {"ada": 7}[name]


class Desk(SessionMachine):
    """A bot that counts what it posts."""

    bug: ClassVar[str | None] = None

    def start(self) -> None:
        self.agent.on("hello", Say("good day"))
        self.posts: list[str] = []
        self.asked = 0

    @operation(chat=st.sampled_from(["ada", "bob"]), patience=st.sampled_from([0.0, 5.0, 50.0]))
    async def greet(self, chat: str, patience: float) -> None:
        self.asked += 1
        try:
            with trio.fail_after(patience):
                self.posts.append((await self.manager.session(chat).ask("hello")).result or "")
        except (trio.TooSlowError, tri.TriologueError):
            self.posts.append("sorry")
        if self.bug == chat:
            raise AssertionError(f"{chat} was greeted")

    @operation()
    async def wait_long(self) -> None:
        await trio.sleep(1000)

    @operation(names=st.just(("ada",)))
    async def look_up(self, names: tuple[str, ...]) -> None:
        errors: list[Exception] = []
        for name in names:
            try:
                seat_of(name)
            except KeyError as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("all", errors)

    @invariant
    def nobody_is_greeted_unasked(self) -> None:
        assert len(self.posts) <= self.asked
        assert set(self.posts) <= {"good day", "sorry"}


class WithBug(Desk):
    bug = "bob"


class WithoutTheKit(Desk):
    sessions = 0


class Stubborn(Desk):
    max_passes = 1000

    @operation()
    async def try_again(self) -> None:
        while True:
            await trio.sleep(1)


class Impatient(Desk):
    sessions = 0

    @invariant
    def few_are_asked(self) -> None:
        assert self.asked < 3, f"{self.asked} were asked"


def test_a_machine_that_holds() -> None:
    Desk.check(settings=settings(max_examples=50, deadline=None))
    WithoutTheKit.check(settings=settings(max_examples=20, deadline=None))


def test_a_failure_shrinks_to_the_operation_that_matters() -> None:
    with pytest.raises(LawBroken) as raised:
        WithBug.check(settings=FINDS)
    program = raised.value.history.program
    assert isinstance(program, Program)
    assert [repr(operation) for operation in program.operations] == ["own('greet', chat='bob', patience=0.0)"]
    assert [each.law for each in raised.value.complaints] == ["own operations pass"]
    called = (
        "call 0 own('greet', chat='bob', patience=0.0) raised AssertionError('bob was greeted') at test_machine.py:"
    )
    assert called in str(raised.value)
    assert eval(repr(program)) == program  # it can be run again as it is shown


def test_an_invariant_is_checked_after_each_operation() -> None:
    with pytest.raises(LawBroken) as raised:
        Impatient.check(settings=FINDS)
    assert "3 were asked" in str(raised.value)


def test_one_program_is_run_again() -> None:
    history = Desk.run(Program(operations=(own("greet", chat="ada", patience=5.0),)))
    assert [call.error for call in history.calls] == [None]


def test_an_error_that_is_none_of_triologues_is_told_with_its_place() -> None:
    with pytest.raises(LawBroken) as raised:
        Desk.run(Program(operations=(own("look_up", names=("ada", "bob")),)))
    (complaint,) = raised.value.complaints
    told, _, place = complaint.what.partition(" at ")
    assert told == "call 0 own('look_up', names=('ada', 'bob')) raised " + repr(
        ExceptionGroup("all", [KeyError("bob")])
    )
    assert [each.rpartition(" ")[2] for each in place.split(" > ")] == ["look_up", "look_up", "seat_of"]


def test_what_tries_again_for_ever_is_told_soon() -> None:
    with pytest.raises(LawBroken, match=r"it did not end within 1000 passes of the scheduler, at .* s; call 0 own"):
        Stubborn.run(Program(operations=(own("try_again"),)))


def test_an_operation_is_async() -> None:
    with pytest.raises(TypeError, match="greet is none"):

        @operation()
        def greet() -> None:
            raise AssertionError


def test_an_invariant_is_not() -> None:
    with pytest.raises(TypeError, match="look is none"):

        @invariant
        async def look() -> None:
            raise AssertionError


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Actors tell of each crash in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
