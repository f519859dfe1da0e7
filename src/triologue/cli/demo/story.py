"""What one conversation of the demo says, and what its answers have to contain."""

import random
from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

Kind: TypeAlias = Literal["plain", "interrupted", "forked", "resumed"]

KINDS: tuple[Kind, ...] = ("interrupted", "forked", "resumed", "plain", "plain")
"""Dealt out in turn, so that also a few conversations show everything."""

ENDLESS = "Count to 2000"
"""Takes long enough to be interrupted."""

_WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "iris",
    "jade",
    "kelp",
    "larch",
    "maple",
    "north",
    "ocean",
    "pearl",
    "quartz",
    "river",
]


class Line(Struct, frozen=True):
    """One prompt, and what its answer must and must not contain."""

    prompt: str
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()

    def is_answered_by(self, answer: str) -> bool:
        """Does the answer fit?"""
        return all(word in answer for word in self.must) and not any(word in answer for word in self.must_not)


class Story(Struct, frozen=True, kw_only=True):
    """One conversation."""

    key: str
    kind: Kind
    delay: float
    """Seconds before it begins, so that not all do everything at the same moment."""
    rest: float
    """Seconds that it hibernates, if it does."""
    tell: Line
    chatter: tuple[Line, ...]
    recall: Line
    """Needs what was told at the beginning, and must not know what only the copy was told."""
    tell_copy: Line
    recall_copy: Line


def write_stories(sessions: int, turns: int, *, seed: int, has_tools: bool, spread: float) -> Iterator[Story]:
    """The same conversations for the same seed.

    Args:
        sessions: how many.
        turns: prompts in each, from 2; interrupting and forking comes on top.
        seed: decides all that is random.
        has_tools: the agent has the demo's tools, so that some prompts may ask for them.
        spread: seconds within which the conversations begin.
    """
    dice = random.Random(seed)
    kinds: list[Kind] = [KINDS[number % len(KINDS)] for number in range(sessions)]
    dice.shuffle(kinds)
    for number, kind in enumerate(kinds, 1):
        secret, other = str(dice.randrange(10_000, 100_000)), f"{dice.choice(_WORDS)}{dice.randrange(100, 1000)}"
        question = "What is my number, and what is my town?"
        yield Story(
            key=f"chat-{number:03}",
            kind=kind,
            delay=dice.uniform(0, spread),
            rest=dice.uniform(0, spread / 2),
            tell=Line(f"Remember: my number is {secret}"),
            chatter=tuple(_chatter(dice, has_tools=has_tools) for _ in range(turns - 2)),
            recall=Line(question, must=(secret,), must_not=(other,)),
            tell_copy=Line(f"Remember: my town is {other}"),
            recall_copy=Line(question, must=(secret, other)),
        )


def _chatter(dice: random.Random, *, has_tools: bool) -> Line:
    match dice.randrange(3):
        case 0 if has_tools:
            one, other = dice.randrange(100), dice.randrange(100)
            return Line(f"Call add(a={one}, b={other})", must=(f" {one + other}.",))
        case 1:
            words = " ".join(dice.choices(_WORDS, k=dice.randrange(5, 20)))
            return Line(f"Repeat after me: {words}", must=(words,))
        case _:
            last = dice.randrange(10, 30)
            return Line(f"Count to {last}", must=(str(last),))
