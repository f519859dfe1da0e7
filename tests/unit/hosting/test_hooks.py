"""Hooks: how they are announced, run, and refused."""

import functools
import threading
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.serving import open_service
from triologue.errors import InvalidOption
from triologue.hosting import CallbackError, check_callbacks, wire_hooks
from triologue.messages import HookCallback, McpStatus
from triologue.options import HookContext, HookMatcher, Options


async def nothing(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
    return {}


async def see(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
    return {"continue_": False, "async_": True, "saw": [given, tool_use_id, context.signal]}


def test_every_callback_gets_an_id_in_order() -> None:
    hooks = {
        "PreToolUse": [HookMatcher("Bash", [nothing, see], timeout=2.5), HookMatcher(hooks=[see])],
        "Idle": [],
        "Stop": [HookMatcher(hooks=[nothing], on_failure="block")],
    }
    assert wire_hooks(hooks) == {
        "PreToolUse": [
            {"matcher": "Bash", "hookCallbackIds": ["hook_0", "hook_1"], "timeout": 2.5},
            {"matcher": None, "hookCallbackIds": ["hook_2"]},
        ],
        "Stop": [{"matcher": None, "hookCallbackIds": ["hook_3"], "onFailure": "block"}],
    }
    assert wire_hooks(None) is None
    assert wire_hooks({}) is None


async def answer(hooks: list[Any], callback_id: str = "hook_0", timeout: float | None = None) -> dict[str, Any]:
    options = Options(hooks={"PreToolUse": [HookMatcher(None, hooks, timeout)]})
    async with open_service(options) as service:
        return await service.answer(HookCallback(callback_id=callback_id, input={"a": 1}, tool_use_id="toolu_1"))


async def test_the_output_is_what_the_agent_reads() -> None:
    assert await answer([nothing, see], "hook_1") == {
        "continue": False,
        "async": True,
        "saw": [{"a": 1}, "toolu_1", None],
    }


async def test_a_plain_function_runs_in_a_thread() -> None:
    def where(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        return {"main": threading.current_thread() is threading.main_thread()}

    assert await answer([where]) == {"main": False}


class Callable:
    async def __call__(self, given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        return {"main": threading.current_thread() is threading.main_thread()}


@pytest.mark.parametrize(
    "hook", [Callable(), functools.partial(Callable()), lambda *given: nothing(given[0], None, HookContext())]
)
async def test_whatever_can_be_awaited_is(hook: Any) -> None:
    assert await answer([hook]) in ({}, {"main": True})


async def none(given: Any, tool_use_id: str | None, context: HookContext) -> None:
    return None


async def odd(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
    return {"odd": object()}


async def test_what_is_no_output_names_its_callback() -> None:
    with pytest.raises(CallbackError, match=r"the PreToolUse hook 'none' gave None and no dict; give \{\} to decide"):
        await answer([none])
    with pytest.raises(TypeError, match="Encoding objects of type object is unsupported"):
        await answer([odd])
    with pytest.raises(CallbackError, match="no hook is registered as 'hook_9'"):
        await answer([none], "hook_9")


@pytest.mark.parametrize(
    ("specific", "told"),
    [
        ({"permissionDecision": "Deny"}, "permissionDecision='Deny', which is none of allow, deny, ask, defer"),
        ({"permissionDecision": False}, "permissionDecision=False, which is none of allow, deny, ask, defer"),
        ("deny", "hookSpecificOutput='deny', which is no dict"),
    ],
)
async def test_a_decision_that_there_is_not_is_a_failure(specific: Any, told: str) -> None:
    async def decide(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        return {"hookSpecificOutput": specific}

    with pytest.raises(CallbackError, match=rf"^the PreToolUse hook '.*decide' gave {told}$"):
        await answer([decide])


async def test_what_a_hook_raises_comes_out() -> None:
    async def fail(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        await answer([fail])


async def test_a_hook_that_is_too_slow(autojump_clock: MockClock) -> None:
    async def hang(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        await trio.sleep(10)
        return {"late": True}

    assert await answer([hang]) == {"late": True}
    # The agent, whose clock may be behind ours, has 5 s to say so itself.
    assert await answer([hang], timeout=6) == {"late": True}
    started = trio.current_time()
    with pytest.raises(TimeoutError, match=r"hang' took longer than the 2\.5 s of its matcher"):
        await answer([hang], timeout=2.5)
    assert trio.current_time() - started == 7.5


async def test_a_thread_that_is_too_slow_is_left_behind(autojump_clock: MockClock) -> None:
    released = threading.Event()

    def block(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        released.wait(10)
        return {}

    with pytest.raises(TimeoutError):
        await answer([block], timeout=0.01)
    released.set()
    while any(thread.name.endswith("block") for thread in threading.enumerate()):
        time.sleep(0.001)  # the clock of the test does not pass in threads


async def test_hooks_run_side_by_side() -> None:
    met, waiting = trio.Event(), 0

    async def meet(given: Any, tool_use_id: str | None, context: HookContext) -> dict[str, Any]:
        nonlocal waiting
        waiting += 1
        if waiting == 30:
            met.set()
        await met.wait()
        return {}

    async with open_service(Options(hooks={"Stop": [HookMatcher(hooks=[meet])]})) as service:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(service.answer, HookCallback(callback_id="hook_0", input={}))


@pytest.mark.parametrize(
    ("event", "on_failure", "callback_id", "told"),
    [
        ("PreToolUse", None, "hook_0", ", the PreToolUse hook 'nothing'; that decides nothing, and the tool may run"),
        ("PreToolUse", "block", "hook_0", ", the PreToolUse hook 'nothing'"),
        ("Stop", None, "hook_0", ", the Stop hook 'nothing'"),
        ("Stop", None, "hook_1", ""),
    ],
)
async def test_the_log_says_what_comes_of_one_that_fails(
    event: str, on_failure: str | None, callback_id: str, told: str
) -> None:
    options = Options(hooks={event: [HookMatcher(hooks=[nothing], on_failure=on_failure)]})
    async with open_service(options) as service:
        assert service.about_failure(HookCallback(callback_id=callback_id, input={})) == told
        assert service.about_failure(McpStatus()) == ""


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ({3: []}, "hooks: 3 is no event's name"),
        ({"Stop": nothing}, r"hooks\['Stop'\]=<function nothing .* is no list of HookMatcher"),
        ({"Stop": [nothing]}, r"hooks\['Stop'\]\[0\]=<function nothing .* is no HookMatcher"),
        ({"Stop": [HookMatcher(), {"hooks": []}]}, r"hooks\['Stop'\]\[1\]={'hooks': \[\]} is no HookMatcher"),
        ({"Stop": [HookMatcher(hooks=["x"])]}, r"hooks\['Stop'\]\[0\].hooks\[0\]='x' is no function"),  # type: ignore[list-item]
        ({"Stop": [HookMatcher(hooks=nothing)]}, r"hooks\['Stop'\]\[0\].hooks=.* is no list"),  # type: ignore[arg-type]
        ({"Stop": [HookMatcher(3)]}, r"hooks\['Stop'\]\[0\].matcher=3 is no text"),  # type: ignore[arg-type]
        ({"Stop": [HookMatcher(timeout=0)]}, r"hooks\['Stop'\]\[0\].timeout=0 is no number of seconds above 0"),
        ({"Stop": [HookMatcher(on_failure="x")]}, r"hooks\['Stop'\]\[0\].on_failure='x' is neither"),
    ],
)
def test_what_cannot_be_a_hook_is_refused(hooks: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        check_callbacks(Options(hooks=hooks))


def test_what_can_be_is_not() -> None:
    check_callbacks(Options())
    check_callbacks(Options(hooks={"Stop": [HookMatcher("x", [nothing, see], 0.5, "block")]}))
