"""A model-based lifecycle test: your own async operations and invariants, among all that can happen to sessions.

Hypothesis draws whole programs as data, before anything runs, so that operations may be `async def` and a failure
shrinks to a few of them.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from triologue.manager import SessionManager
from triologue.testing.history import Complaint, History, LawBroken
from triologue.testing.laws import LAWS, Law, check_history
from triologue.testing.operations import Operation
from triologue.testing.programs import PASSES, Program, run_program
from triologue.testing.scripted_agent import ScriptedAgent
from triologue.testing.stage import Stage
from triologue.testing.tasks import place_of

if TYPE_CHECKING:
    from hypothesis import settings as Settings  # noqa: N812 - a class, whatever its name
    from hypothesis.strategies import SearchStrategy

F = TypeVar("F", bound=Callable[..., Any])
_STRATEGIES = "__triologue_strategies__"
_IS_INVARIANT = "__triologue_invariant__"


def operation(**strategies: "SearchStrategy[Any]") -> Callable[[F], F]:
    """Make an async method of a `SessionMachine` one of its operations.

    Args:
        strategies: what its arguments are drawn from, by their names.
    """

    def mark(method: F) -> F:
        if not inspect.iscoroutinefunction(method):
            raise TypeError(f"@operation is for an `async def`, and {method.__qualname__} is none")
        setattr(method, _STRATEGIES, strategies)
        return method

    return mark


def invariant(method: F) -> F:
    """Make a method of a `SessionMachine` one of its invariants.

    It is called after each of the machine's own operations, and when the program is over. It raises an
    `AssertionError` where something is wrong.
    """
    if inspect.iscoroutinefunction(method):
        raise TypeError(f"@invariant is for a plain `def`, which only looks, and {method.__qualname__} is none")
    setattr(method, _IS_INVARIANT, True)
    return method


class OwnOperation(Operation, frozen=True):
    """A call of a machine's own operation: see `own`."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"own({', '.join([repr(self.name), *(f'{name}={value!r}' for name, value in self.arguments)])})"

    async def run(self, stage: Stage) -> Any:
        """Gives what the method gives."""
        value = await getattr(stage.model, self.name)(**dict(self.arguments))
        if isinstance(stage.model, SessionMachine):
            stage.model.check_invariants()
        return value


def own(name: str, /, **arguments: Any) -> OwnOperation:
    """A call of a machine's own operation, for a program that is written down, as failures show it.

    Args:
        name: of the method.
        arguments: its arguments.
    """
    return OwnOperation(name, tuple(arguments.items()))


class SessionMachine:
    """Subclass it, mark methods with `@operation(...)` and `@invariant`, and call `check()` in a test.

    An instance lives as long as one program. Its own operations are mixed with the kit's: prompts at which the agent
    answers, stalls or crashes, interrupts, hibernation, cancelled callers and so on, on sessions that are named
    `s0`, `s1` ...; all laws of the kit are checked too.
    """

    sessions: ClassVar[int] = 2
    """How many of the kit's sessions there are; with 0 none of its operations is done."""
    max_operations: ClassVar[int] = 12
    max_passes: ClassVar[int] = PASSES
    """How often the scheduler may go round in one program."""
    laws: ClassVar[Sequence[Law]] = LAWS
    manager_options: ClassVar[dict[str, Any]] = {}
    """For `open_manager`."""

    manager: SessionManager
    """The program's."""
    agent: ScriptedAgent
    """The program's."""
    stage: Stage
    """What else a program has."""

    def start(self) -> None:
        """Called before the first operation: tell the agent what to do, set up the model."""

    def check_invariants(self) -> None:
        """Call every invariant."""
        for name in _marked(type(self), _IS_INVARIANT):
            getattr(self, name)()

    @classmethod
    def programs(cls) -> "SearchStrategy[Program]":
        """Programs of this machine's operations."""
        from hypothesis import strategies as st

        from triologue.testing.strategies import programs

        calls = [
            st.builds(
                OwnOperation,
                st.just(name),
                st.fixed_dictionaries(getattr(getattr(cls, name), _STRATEGIES)).map(lambda drawn: tuple(drawn.items())),
            )
            for name in _marked(cls, _STRATEGIES)
        ]
        return programs(cls.sessions, cls.max_operations, more=st.one_of(calls) if calls else None)

    @classmethod
    def run(cls, program: Program) -> History:
        """Run one program, and check it: for the one that a failure has shown.

        Raises:
            LawBroken: a law of the kit is broken, or an invariant failed.
        """
        machine = cls()

        def begin(stage: Stage) -> None:
            machine.stage, machine.manager, machine.agent = stage, stage.manager, stage.agent
            stage.model = machine
            machine.start()

        history = run_program(program, setup=begin, max_passes=cls.max_passes, **cls.manager_options)
        check_history(history, (*cls.laws, own_operations_pass))
        try:
            machine.check_invariants()
        except Exception as error:
            raise LawBroken([Complaint("invariant", f"{error!r} at {place_of(error)}")], history) from error
        return history

    @classmethod
    def check(cls, *, settings: "Settings | None" = None) -> None:
        """Draw programs, run them and check them.

        Args:
            settings: hypothesis'; None: the profile that is loaded, without a deadline.

        Raises:
            LawBroken: for the smallest program that was found.
        """
        from hypothesis import given, settings as chosen

        def test(program: Program) -> None:
            cls.run(program)

        (settings or chosen(deadline=None))(given(cls.programs())(test))()


def own_operations_pass(history: History) -> Iterator[str]:
    """No operation of the machine's own raises an `AssertionError`."""
    for call in history.calls:
        if isinstance(call.operation.inner, OwnOperation) and isinstance(call.error, AssertionError):
            yield call.blame()


def _marked(cls: type[SessionMachine], mark: str) -> list[str]:
    """The names of the methods with a mark, in an order that does not change."""
    return [name for name in sorted(dir(cls)) if hasattr(getattr(cls, name, None), mark)]
