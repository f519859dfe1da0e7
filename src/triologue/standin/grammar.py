"""How a command line is read: flags are declared the way that their help shows them."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, final

from msgspec import Struct, field

MAX_SHOWN = 500
"""Characters of a value that an error shows; flags can carry whole files."""

_DECLARATION = re.compile(r"(?P<names>-[^<\[]*?)(?:\s+(?P<value>[<\[][^>\]]+[>\]]))?$")


class UsageError(Exception):
    """The command line cannot be.

    Args:
        text: what goes to stderr.
        code: the exit code.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Flag(Struct, frozen=True):
    """One flag under all of its names."""

    declared: str
    """As its help shows it: `-r, --resume [value]`."""
    name: str
    """The first of its long names, without dashes."""
    takes: Literal["nothing", "one", "maybe", "many"]

    def wrong(self, value: str, why: str) -> UsageError:
        """The error for a value that cannot be."""
        shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
        return UsageError(f"error: option '{self.declared}' argument '{shown}' is invalid. {why}")


class Said(Struct):
    """What a command line says."""

    values: dict[str, list[str]] = field(default_factory=dict)
    """By the flag's name, in order; a flag without a value has none."""
    words: list[str] = field(default_factory=list)
    """What belongs to no flag."""

    def has(self, name: str) -> bool:
        """Whether the flag is there."""
        return name in self.values

    def one(self, name: str) -> str | None:
        """The value of a flag; of several the last, as command lines have it."""
        values = self.values.get(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a flag, in order."""
        return self.values.get(name, [])


@final
class Grammar:
    """The flags that a program takes.

    Args:
        declarations: one flag a line; `<value>` must follow, `[value]` may, and `<values...>` are one or more.
    """

    def __init__(self, *declarations: str) -> None:
        self._flags: dict[str, Flag] = {}
        for line in _lines(declarations):
            flag, names = _declare(line)
            self._flags.update(dict.fromkeys(names, flag))

    def __getitem__(self, name: str) -> Flag:
        """The flag of a long name, without dashes."""
        return self._flags[f"--{name}"]

    def declarations(self) -> list[str]:
        """The flags as help shows them, sorted by name."""
        flags = {flag.name: flag.declared for flag in self._flags.values()}
        return [flags[name] for name in sorted(flags)]

    def read(self, words: Sequence[str]) -> Said:
        """Read a command line.

        Raises:
            UsageError: a flag is unknown, lacks its value, or has one and takes none.
        """
        said = Said()
        rest = list(reversed(words))
        while rest:
            word = rest.pop()
            if word == "--":
                said.words += reversed(rest)
                break
            if not word.startswith("-") or word == "-":
                said.words.append(word)
                continue
            name, given, value = word.partition("=") if word.startswith("--") else (word, "", "")
            flag = self._flags.get(name)
            if flag is None:
                raise UsageError(f"error: unknown option '{name}'")
            said.values.setdefault(flag.name, []).extend(_values(flag, value if given else None, rest))
        return said


def _lines(declarations: Iterable[str]) -> Iterable[str]:
    return (line.strip() for text in declarations for line in text.splitlines() if line.strip())


def _declare(line: str) -> tuple[Flag, list[str]]:
    found = _DECLARATION.match(line)
    assert found is not None, line
    names = re.split(r",\s*", found["names"].strip())
    value = found["value"] or ""
    takes: Literal["nothing", "one", "maybe", "many"] = "nothing"
    if value:
        takes = "maybe" if value.startswith("[") else "many" if "..." in value else "one"
    long = next(name for name in names if name.startswith("--"))
    return Flag(line, long.removeprefix("--"), takes), names


def _values(flag: Flag, given: str | None, rest: list[str]) -> list[str]:
    """The values of one flag, taken from the words behind it (of which the next one is the last of `rest`)."""
    match flag.takes:
        case "nothing":
            if given is not None:
                raise UsageError(f"error: option '{flag.declared}' takes no value, but has '{given}'")
            return []
        case "maybe":
            if given is None and rest and not rest[-1].startswith("-"):
                return [rest.pop()]
            return [] if given is None else [given]
        case "one" | "many":
            if given is None and not rest:
                raise UsageError(f"error: option '{flag.declared}' argument missing")
            # The first value may begin with a dash: a prompt, or a negative number.
            values = [rest.pop() if given is None else given]
            while flag.takes == "many" and rest and not rest[-1].startswith("-"):
                values.append(rest.pop())
            return values
