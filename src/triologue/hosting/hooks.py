"""Hooks: how the agent is told of them, and what runs when it calls one."""

from collections.abc import Callable, Iterator
from typing import Any, final

from triologue.errors import InvalidOption, brief
from triologue.hosting.callbacks import CallbackError, name_of, run_within
from triologue.messages import HookCallback
from triologue.options import HookContext, HookMatcher, Options

_KEYWORDS = {"async_": "async", "continue_": "continue"}
# Some agents take any other word for no decision, and run what was to be denied.
_DECISIONS = (None, "allow", "deny", "ask", "defer")
_FAILURES = (None, "block", "continue")

# Seconds. To Claude Code a hook that is late stops the tool, and one that fails does not: so the agent's own clock,
# which may be behind on a busy machine, must be the one that decides, wherever there is one.
_AGENT_FIRST = 5.0


def wire_hooks(hooks: dict[str, list[HookMatcher]] | None) -> dict[str, Any] | None:
    """The hooks as `initialize` registers them; None without any."""
    wired: dict[str, Any] = {}
    for event, matcher, ids in _registered(hooks):
        entry: dict[str, Any] = {"matcher": matcher.matcher, "hookCallbackIds": ids}
        if matcher.timeout is not None:
            entry["timeout"] = matcher.timeout
        if matcher.on_failure is not None:
            entry["onFailure"] = matcher.on_failure
        wired.setdefault(event, []).append(entry)
    return wired or None


def check_hooks(options: Options) -> None:
    """Refuse hooks that cannot be called.

    Raises:
        InvalidOption: what, and where.
    """
    for event, matchers in (options.hooks or {}).items():
        if not isinstance(event, str) or not event:
            raise InvalidOption(f"hooks: {brief(event)} is no event's name")
        if not isinstance(matchers, list | tuple):
            raise InvalidOption(f"hooks[{event!r}]={brief(matchers)} is no list of HookMatcher")
        for index, matcher in enumerate(matchers):
            _check_matcher(f"hooks[{event!r}][{index}]", matcher)


def _check_matcher(where: str, matcher: Any) -> None:
    if not isinstance(matcher, HookMatcher):
        raise InvalidOption(f"{where}={brief(matcher)} is no HookMatcher")
    if matcher.matcher is not None and not isinstance(matcher.matcher, str):
        raise InvalidOption(f"{where}.matcher={brief(matcher.matcher)} is no text")
    if not isinstance(matcher.hooks, list | tuple):
        raise InvalidOption(f"{where}.hooks={brief(matcher.hooks)} is no list of functions")
    for position, hook in enumerate(matcher.hooks):
        if not callable(hook):
            raise InvalidOption(f"{where}.hooks[{position}]={brief(hook)} is no function")
    timeout = matcher.timeout
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        raise InvalidOption(f"{where}.timeout={brief(timeout)} is no number of seconds above 0")
    if matcher.on_failure not in _FAILURES:
        raise InvalidOption(f"{where}.on_failure={brief(matcher.on_failure)} is neither 'block' nor 'continue'")


@final
class Hooks:
    """The hook callbacks of one connection, by the ids that `wire_hooks` gave them."""

    __slots__ = ("_callbacks",)

    def __init__(self, hooks: dict[str, list[HookMatcher]] | None) -> None:
        self._callbacks = {
            callback_id: (event, hook, matcher)
            for event, matcher, ids in _registered(hooks)
            for callback_id, hook in zip(ids, matcher.hooks, strict=True)
        }

    async def answer(self, request: HookCallback) -> dict[str, Any]:
        """Run a callback; its output as the agent reads it.

        Raises:
            CallbackError: nothing is registered under this id, or it gave no dict, or a decision that there is not.
            TimeoutError: it took longer than its matcher allows.
        """
        found = self._callbacks.get(request.callback_id)
        if found is None:
            raise CallbackError(f"no hook is registered as {request.callback_id!r}")
        event, hook, matcher = found
        label, timeout = _label(event, hook), matcher.timeout
        # Here too, because not every agent keeps the time.
        limit = None if timeout is None else timeout + _AGENT_FIRST
        late = f"{label} took longer than the {timeout} s of its matcher"
        return _output(label, await run_within(limit, late, hook, request.input, request.tool_use_id, HookContext()))

    def about_failure(self, callback_id: str) -> str:
        """What the log says of a callback that failed; nothing of one that nobody has."""
        if (found := self._callbacks.get(callback_id)) is None:
            return ""
        event, hook, matcher = found
        runs = event == "PreToolUse" and matcher.on_failure != "block"
        return f", {_label(event, hook)}{'; that decides nothing, and the tool may run' if runs else ''}"


def _label(event: str, hook: Callable[..., Any]) -> str:
    return f"the {event} hook {name_of(hook)!r}"


def _output(label: str, output: Any) -> dict[str, Any]:
    if not isinstance(output, dict):
        raise CallbackError(f"{label} gave {brief(output)} and no dict; give {{}} to decide nothing")
    specific = output.get("hookSpecificOutput") or {}
    if not isinstance(specific, dict):
        raise CallbackError(f"{label} gave hookSpecificOutput={brief(specific)}, which is no dict")
    if (decision := specific.get("permissionDecision")) not in _DECISIONS:
        raise CallbackError(
            f"{label} gave permissionDecision={brief(decision)}, which is none of allow, deny, ask, defer"
        )
    return {_KEYWORDS.get(str(key), str(key)): value for key, value in output.items()}


def _registered(hooks: dict[str, list[HookMatcher]] | None) -> Iterator[tuple[str, HookMatcher, list[str]]]:
    """Every matcher with the ids of its callbacks, in order of registration: both ends count alike."""
    count = 0
    for event, matchers in (hooks or {}).items():
        for matcher in matchers:
            ids = [f"hook_{count + index}" for index in range(len(matcher.hooks))]
            count += len(ids)
            yield event, matcher, ids
