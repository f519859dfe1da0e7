"""Which features of which SDK work on our agent: what the tests show, and the page that tells it."""

import asyncio
import gc
import importlib
import importlib.util
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, final

import anyio
import trio

from tests.support.needs import give_up

PATIENCE = 60.0
"""Seconds after which a program has hung."""

AT_ONCE = 6
"""How many programs of a group run at the same time."""

GROUPS: dict[str, dict[str, str]] = {
    "Conversations": {
        "one-shot": "`query()` with a text",
        "client": "a client with several turns",
        "streamed-input": "input from an async iterable, with waits in between",
        "interrupt-stream": "interrupt while text comes, and go on",
        "interrupt-tool": "interrupt while a tool runs, and go on",
        "commands": "`/clear`, `/compact`, `/cost`",
    },
    "Sessions": {
        "chosen-id": "a chosen session id",
        "resume": "resume",
        "continue": "continue the last one of a folder",
        "fork": "fork; the original is as before",
        "fork-with-id": "fork under a chosen id",
        "unknown-id": "resume of an unknown id is an error",
    },
    "Permissions": {
        "permission-allow": "allow",
        "permission-change": "allow with changed input and new rules",
        "permission-deny": "deny with a message",
        "permission-deny-interrupt": "deny and interrupt",
        "permission-raises": "a callback that raises",
        "permission-cancelled": "an interrupt cancels the callback",
    },
    "Hooks": {
        "hook-pre-deny": "`PreToolUse` denies",
        "hook-pre-allow": "`PreToolUse` allows what would be asked",
        "hook-pre-input": "`PreToolUse` changes the input",
        "hook-post": "`PostToolUse` adds context",
        "hook-prompt": "`UserPromptSubmit` adds context, or stops a prompt",
        "hook-stop": "`Stop` makes it go on",
        "hook-raises": "a hook that raises",
    },
    "Tools of the host": {
        "tool": "a tool",
        "tools": "several tools called together",
        "tool-error": "a tool that raises, and one that gives an error",
        "tool-image": "a tool that gives an image",
    },
    "Control requests": {
        "model": "change of the model",
        "mode": "change of the permission mode",
        "mcp-status": "the state of MCP servers; reconnect, disable, enable",
        "context-usage": "the use of the context",
        "server-info": "what the agent said when it started",
        "stop-task": "stop a sub-agent",
        "rewind-files": "rewind files: an error, since our agent cannot",
        "cancel-queued": "take back a prompt that waits",
        "unsupported": "what our agent cannot is an error, and it goes on",
    },
    "Turns": {
        "partial": "partial messages",
        "max-turns": "`max_turns`",
        "max-budget": "`max_budget_usd`",
        "subagents": "sub-agents",
        "structured": "structured output",
        "api-error": "an error of the API is a result, and then the exception that the SDK has for it, if any",
    },
    "Sizes": {
        "large": "an answer of 2 MB, with `max_buffer_size` raised",
        "too-large": "an answer over the limit is an error, and nothing hangs",
        "seams": "no space is lost where pieces of 64 KiB meet",
    },
    "Histories": {
        "list": "list sessions",
        "messages": "the messages of a session",
        "rename": "rename",
        "tag": "tag",
        "delete": "delete",
        "fork-history": "fork a history, and resume the fork",
        "session-store": "histories that the host keeps (`session_store`)",
    },
    "How it is started": {
        "auth": "every way to log in, and none (exit code 41)",
        "system-prompt": "a system prompt",
        "abort-event": "an event that interrupts",
    },
    "The process": {
        "close": "leaving early, or by cancellation, ends the process",
        "exit-code": "an exit code is an error that has it",
    },
}
"""The rows of the table: what a feature is called by tests, and on the page."""

FEATURES = {name: told for group in GROUPS.values() for name, told in group.items()}

OWN = {
    "auth": ("qoder_agent_sdk",),
    "cancel-queued": ("qoder_agent_sdk",),
    "abort-event": ("cortex_code_agent_sdk",),
    "unsupported": ("qoder_agent_sdk", "cortex_code_agent_sdk"),
}
"""Features that only these SDKs have."""

PROGRAMS = {
    "claude_agent_sdk": (
        "tests.foreign.claude_turns",
        "tests.foreign.claude_callbacks",
        "tests.foreign.claude_control",
        "tests.foreign.claude_sessions",
    ),
    "qoder_agent_sdk": ("tests.foreign.qoder_turns", "tests.foreign.qoder_control", "tests.foreign.qoder_sessions"),
    "cortex_code_agent_sdk": (
        "tests.foreign.cortex_turns",
        "tests.foreign.cortex_control",
        "tests.foreign.cortex_sessions",
    ),
}
"""The SDKs, in the order of the columns, and the modules with their programs."""


@final
@dataclass(frozen=True)
class Place:
    """Where one program works."""

    agent: Path
    """Our agent, for `cli_path`."""
    cwd: Path
    """A folder of its own."""


Program: TypeAlias = Callable[[Place], Awaitable[None]]


@final
@dataclass(frozen=True)
class Suite:
    """What is shown with one SDK.

    Attributes:
        loops: the event loops that the SDK runs on, each a column of the table.
        programs: by feature; every one passes on every loop.
        missing: by feature, why there is no program, because the SDK does not have it.
        failing: the same, because our agent does not do it.
    """

    package: str
    loops: tuple[str, ...]
    programs: dict[str, list[Program]] = field(default_factory=dict[str, list[Program]])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    failing: dict[str, str] = field(default_factory=dict[str, str])

    def shows(self, *features: str) -> Callable[[Program], Program]:
        """Mark a program that shows these features."""

        def mark(program: Program) -> Program:
            for feature in features:
                self.programs.setdefault(feature, []).append(program)
            return program

        return mark

    def lacks(self, feature: str, reason: str) -> None:
        """Say why a feature is not shown: the SDK does not have it."""
        self.missing[feature] = reason

    def fails(self, feature: str, reason: str) -> None:
        """Say why a feature is not shown: our agent does not do it."""
        self.failing[feature] = reason

    def group(self, name: str) -> list[Program]:
        """The programs of a group, each once."""
        found = [program for feature in GROUPS[name] for program in self.programs.get(feature, ())]
        return list(dict.fromkeys(found))


def load_suite(package: str) -> Suite:
    """The programs of an SDK; skips the test where it is not installed."""
    if importlib.util.find_spec(package) is None:
        give_up(f"{package} is not installed (`pip install {package.replace('_', '-')}`)")
    modules = [importlib.import_module(name) for name in PROGRAMS[package]]
    suite: Suite = modules[0].SUITE
    for feature, owners in OWN.items():
        if package not in owners:
            suite.missing.setdefault(feature, "the SDK has nothing of the kind")
    return suite


def run_group(package: str, loop: str, group: str, agent: Path, folder: Path) -> None:
    """Run the programs of a group at the same time, on `asyncio` or `trio`.

    Raises:
        ExceptionGroup: what failed, each with a note that names the program.
    """
    programs = load_suite(package).group(group)
    failures: list[Exception] = []

    async def main() -> None:
        limit = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as tasks:
            for program in programs:
                cwd = folder / getattr(program, "__name__", "program")
                cwd.mkdir()
                tasks.start_soon(_run_one, program, Place(agent=agent, cwd=cwd), limit, failures)

    run_on(loop, main)
    forget()
    if failures:
        raise ExceptionGroup(f"{package} on {loop}", failures)


def run_on(loop: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it as a program of that loop does."""
    if loop == "trio":
        trio.run(main)
    else:
        asyncio.run(_to_the_last_task(main))
        for thread in threading.enumerate():
            if thread.name.startswith(("AnyIO worker", "asyncio-waitpid")):  # it is about to end
                thread.join(PATIENCE)


async def _to_the_last_task(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let what SDKs close in the background come to its end: `asyncio.run` would only cancel it."""
    await main()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=PATIENCE)


def forget() -> None:
    """Let go of what SDKs leave to the garbage collector: pipes of a loop that is closed, which complain about it."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        gc.collect()
        gc.collect()  # a complaint keeps what it is about for one round
    finally:
        sys.unraisablehook = hook


async def _run_one(program: Program, place: Place, limit: anyio.CapacityLimiter, failures: list[Exception]) -> None:
    async with limit:
        try:
            with anyio.fail_after(PATIENCE):
                await program(place)
        except Exception as error:  # noqa: BLE001 - the other programs are to be seen too
            error.add_note(f"in {getattr(program, '__name__', program)}")
            failures.append(error)
