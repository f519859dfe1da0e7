"""The laws of the design: each with its property test, the mutants of our code that break it, and the bug in the wild.

A law, its test and its mutants stand in one module of `tests/laws`, and the page of the laws is made from these.
"""

import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, final

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from triologue.actors import Actor
from triologue.options import Deadlines
from triologue.testing import Operation, Program, Stage, run_virtual

Check: TypeAlias = Callable[..., None]
Breaks: TypeAlias = Callable[[pytest.MonkeyPatch], None]
B = TypeVar("B", bound=Breaks)

FOLDER = Path(__file__).parents[1] / "laws"

EXAMPLES = int(os.environ.get("LAW_EXAMPLES") or 200)
"""So many each law is tried with; `make laws` has many more."""

MUTANT_EXAMPLES = 1_000
"""A mutant is found with so many, always the same ones, or it is not found."""


ENDLESS = Deadlines(
    start=None, first_event=None, silence=None, tool=None, turn=None, permission=None, control=None, idle=None
)
"""No deadline ends what a law is about in its place."""


class Wild(NamedTuple):
    """A bug that others had."""

    name: str
    """As in `openclaw#121831`."""
    told: str
    url: str | None = None


class Mutant(NamedTuple):
    """A piece of our code replaced by a broken one."""

    name: str
    told: str
    breaks: Breaks


@final
class Law:
    """One law.

    Args:
        number: in the design.
        text: what always holds.
        wild: where it did not.
    """

    def __init__(self, number: int, text: str, *wild: Wild) -> None:
        self.number = number
        self.text = text
        self.wild = wild
        self.test = ""
        """The name of its test."""
        self.told = ""
        """What the test does."""
        self.mutants: list[Mutant] = []
        self._check: Check | None = None
        self._cases: st.SearchStrategy[Any] = st.nothing()

    def holds(self, cases: st.SearchStrategy[Any]) -> Callable[[Check], Check]:
        """Make a function the law's test: it is called with one case after another, and fails where the law is broken."""

        def make(check: Check) -> Check:
            self.test, self.told = check.__name__, inspect.getdoc(check) or ""
            self._check, self._cases = check, cases
            return settings(max_examples=EXAMPLES, deadline=None)(given(cases)(check))

        return make

    def broken_by(self, breaks: B) -> B:
        """Make a function one of the law's mutants: it replaces something of ours by what breaks the law."""
        self.mutants.append(Mutant(breaks.__name__, inspect.getdoc(breaks) or "", breaks))
        return breaks

    def look_for_a_case(self) -> None:
        """Try the law with a bounded number of cases, the same each time.

        Raises:
            AssertionError: for the first that breaks it.
        """
        assert self._check is not None, f"law {self.number} has no test"
        plain = settings(
            max_examples=MUTANT_EXAMPLES,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        plain(given(self._cases)(self._check))()


def programs_of(
    *operations: st.SearchStrategy[Operation],
    first: Sequence[Operation] = (),
    last: Sequence[Operation] = (),
    sessions: int = 1,
    most: int = 8,
    **fields: st.SearchStrategy[Any],
) -> st.SearchStrategy[Program]:
    """Programs of these operations, one as often as the other.

    Args:
        operations: what is drawn.
        first: what each program begins with.
        last: what each program ends with.
        sessions: how many there are.
        most: operations that are drawn for one program.
        fields: of the `Program`.
    """
    drawn = st.lists(st.one_of(operations), min_size=1, max_size=most)
    return st.builds(
        Program,
        operations=drawn.map(lambda operations: (*first, *operations, *last)),
        sessions=st.just(sessions),
        seed=st.integers(0, 2**16),
        **fields,
    )


class Story(Protocol):
    """What a case means, for a law that is about more than a program can say."""

    wrong: list[str]
    """How the law was broken."""

    async def main(self) -> None:
        """Play it."""
        ...


def play(story: Story, *, seed: int) -> None:
    """Play it on the virtual clock.

    Raises:
        AssertionError: the law was broken.
    """
    run_virtual(story.main, seed=seed, max_seconds=10_000)
    assert story.wrong == []


def actor_of(stage: Stage, number: int) -> Actor | None:
    """The actor of a program's n-th session, if that is awake: for laws about what no caller can do."""
    return stage.manager._directory.registry.awake(stage.key(number))


def load_laws() -> list[Law]:
    """Every law that has a test, in order."""
    modules = [importlib.import_module(f"tests.laws.{path.stem}") for path in FOLDER.glob("test_[0-9]*.py")]
    return sorted((module.LAW for module in modules), key=lambda law: law.number)
