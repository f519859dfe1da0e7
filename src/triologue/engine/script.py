"""The scripts of a `ScriptedModel`: read, and refused where something in them cannot be."""

import re
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from triologue.errors import InvalidOption, brief

_KINDS = (
    "say",
    "words",
    "bytes",
    "recall",
    "results",
    "thinking",
    "tool",
    "wait",
    "hang",
    "error",
    "end",
    "usage",
    "cost",
)
_SPEAKING = ("say", "words", "bytes", "recall", "results")
# Fields that add to a step of another kind, and to which; `cost` stands alone or beside `usage`.
_ADDITIONS = {"delay": _SPEAKING, "input": ("tool",), "id": ("tool",), "message": ("error",)}
_INDEX = re.compile(r"\[(\d+)\]|\.([\w-]+)")


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that a model does in a reply."""

    say: str | None = None
    words: int | None = None
    bytes: int | None = None
    recall: bool = False
    results: bool = False
    thinking: str | None = None
    tool: str | None = None
    wait: float | None = None
    hang: bool = False
    error: int | UnsetType | None = UNSET
    end: str | None = None
    usage: tuple[int, int] | None = None
    cost: float | None = None
    delay: float = 0.0
    input: dict[str, Any] | None = None
    id: str | None = None
    message: str | None = None

    @property
    def fails(self) -> bool:
        """It is an API error."""
        return self.error is not UNSET

    @property
    def status(self) -> int | None:
        """The HTTP status of the error, where it has one."""
        return self.error if isinstance(self.error, int) else None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When something is said, and what."""

    prompt: str | None = None
    contains: str | None = None
    matches: str | None = None
    nth: int | list[int] | None = None
    result: str | None = None
    failed: bool | None = None
    system: str | None = None
    offers: str | None = None
    lacks: str | None = None
    reply: str | list[str | Step] | None = None
    replies: list[str | list[str | Step]] | None = None
    repeat: bool = False

    def takes(self, prompt: str) -> bool:
        """Whether it is for such a prompt."""
        if self.prompt is not None and prompt != self.prompt:
            return False
        if self.contains is not None and self.contains not in prompt:
            return False
        return self.matches is None or re.search(self.matches, prompt) is not None

    @property
    def times(self) -> list[int]:
        """The times that it is for, or none for every time."""
        return [self.nth] if isinstance(self.nth, int) else self.nth or []

    @property
    def steps(self) -> list[list[Step]]:
        """What it says: one list of steps for each call."""
        written = self.replies if self.reply is None else [self.reply]
        return [[_step(each) for each in ([reply] if isinstance(reply, str) else reply)] for reply in written or []]


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole script."""

    rules: list[Rule]
    name: str = "scripted"
    otherwise: Literal["offline", "error"] = field(default="offline", name="else")


def read_script(path: Path) -> dict[str, Any]:
    """Read a script from its file, as plain values that are known to be right. Raises InvalidOption."""
    try:
        written = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InvalidOption(f"the script {str(path)!r} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise InvalidOption(f"the script {str(path)!r} is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidOption(f"the script {str(path)!r} is no JSON: {error}") from error
    check_script(written, f"the script {str(path)!r}")
    return dict(written)


def check_script(written: Any, where: str) -> Script:
    """Make a script of plain values. Raises InvalidOption, which begins with `where`."""
    try:
        script = msgspec.convert(written, Script)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        place = place.strip("`").removeprefix("key in ") or "$"
        raise InvalidOption(f"{where} at {place}: {problem}, but it is {brief(_value_at(written, place))}") from error
    for number, rule in enumerate(script.rules):
        if wrong := _check_rule(rule):
            place, problem = wrong
            raise InvalidOption(f"{where} at $.rules[{number}]{place}: {problem}")
    return script


def _step(written: str | Step) -> Step:
    return Step(say=written) if isinstance(written, str) else written


def _value_at(written: Any, place: str) -> Any:
    """What stands at a place that msgspec names, as far as it can be followed."""
    for index, name in _INDEX.findall(place):
        try:
            written = written[int(index)] if index else written[name]
        except (LookupError, TypeError):
            break
    return written


def _check_rule(rule: Rule) -> tuple[str, str] | None:
    """Where a rule is wrong, and why."""
    if (rule.reply is None) == (rule.replies is None):
        return "", "a rule has either a `reply` or `replies`"
    if rule.replies == []:
        return ".replies", "there must be at least one"
    if rule.replies is not None and (rule.result is not None or rule.failed is not None):
        return ".replies", "a rule with `result` or `failed` has one `reply`, for it counts no calls"
    if any(time < 1 for time in rule.times):
        return ".nth", f"times are counted from 1, so it cannot be {brief(rule.nth)}"
    try:
        re.compile(rule.matches or "")
    except re.error as error:
        return ".matches", f"{brief(rule.matches)} is no regular expression: {error}"
    return _check_steps(rule)


def _check_steps(rule: Rule) -> tuple[str, str] | None:
    for number, reply in enumerate(rule.steps):
        at = f".replies[{number}]" if rule.reply is None else ".reply"
        for position, step in enumerate(reply):
            if wrong := _check_step(step):
                return f"{at}[{position}]", wrong
    return None


def _check_step(step: Step) -> str | None:
    shown: dict[str, Any] = msgspec.to_builtins(step)
    kinds = [kind for kind in _KINDS if kind in shown]
    if kinds != ["usage", "cost"] and len(kinds) != 1:
        return f"a step does one thing, one of {', '.join(_KINDS)}; not {brief(shown)}"
    for addition, belongs in _ADDITIONS.items():
        if addition in shown and kinds[0] not in belongs:
            return f"{addition!r} belongs to {' or '.join(belongs)}; not into {brief(shown)}"
    for amount in (step.words, step.bytes, step.wait, step.delay, step.cost, *(step.usage or ())):
        if amount is not None and amount < 0:
            return f"less than nothing: {brief(shown)}"
    return None
