"""`triologue doctor`: which agents are there, do they start, and what is missing."""

import platform
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import trio
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from triologue.agents.discovery import PROGRAMS, find_program, places
from triologue.cli.endings import ExitCode, one_line, sole_error
from triologue.cli.handshake import start_once
from triologue.errors import TriologueError
from triologue.options import Options
from triologue.ports import Agent

TESTED = {"claude-code": ("2.1.329",), "qoder": ("1.1.76",), "cortex-code": ()}
"""The versions of each CLI that the test suite runs with. Of Cortex Code it has only what was recorded."""
HOW_TO_LOG_IN = {
    "claude-code": "set ANTHROPIC_API_KEY, or run `claude` and log in",
    "qoder": "run `qodercli login`, or give Qoder(auth=...)",
    "cortex-code": "set up a Snowflake connection",
}
START_PATIENCE = 60.0
VERSION_PATIENCE = 10.0

_VERSION = re.compile(r"\d+\.\d+[\w.-]*")


class Finding(Struct, frozen=True, kw_only=True):
    """What was found out about one agent."""

    name: str
    is_ready: bool
    facts: list[tuple[str, str]]
    """Name and value, in the order in which they are shown."""
    missing: list[str]
    """What to do, or to know."""


async def examine(agents: Mapping[str, Agent], console: Console, *, needed: str) -> ExitCode:
    """Look at each agent, print what was found, return the exit code: whether the one that is needed is ready."""
    where = f"{platform.system()} {platform.machine()}"
    console.print(f"Python {platform.python_version()}, trio {trio.__version__}, {where}", style="bright_black")
    if platform.system() != "Linux":
        console.print("No subreaper here: when this process is killed outright, its agents are not stopped with it.")
    findings = [await _examine(name, agent) for name, agent in agents.items()]
    for finding in findings:
        _show(finding, console)
    return ExitCode.OK if all(found.is_ready for found in findings if found.name == needed) else ExitCode.NO_AGENT


async def _examine(name: str, agent: Agent) -> Finding:
    if name not in TESTED:
        return await _start(name, agent, [("program", "none: it runs in this process")])
    try:
        program = str(await trio.to_thread.run_sync(find_program, PROGRAMS[name], Options(), abandon_on_cancel=True))
    except TriologueError as error:
        looked = await trio.to_thread.run_sync(places, PROGRAMS[name], abandon_on_cancel=True)
        facts = [("program", "not found"), *((f"  {place.where}", place.path or "nothing there") for place in looked)]
        missing = PROGRAMS[name].missing if "\n" in str(error) else one_line(error)  # the places are among the facts
        return Finding(name=name, is_ready=False, facts=facts, missing=[missing])
    finding = await _start(name, agent, [("program", program)])
    return finding if finding.is_ready else await _with_version(finding, program)


async def _start(name: str, agent: Agent, facts: list[tuple[str, str]]) -> Finding:
    began = trio.current_time()
    try:
        told = await start_once(agent, Options(), patience=START_PATIENCE)
    except (TriologueError, BaseExceptionGroup) as error:
        if not isinstance(sole_error(error), TriologueError):
            raise
        return Finding(name=name, is_ready=False, facts=[*facts, ("starts", "no")], missing=[one_line(error)])
    facts = [*facts, ("starts", f"yes, in {trio.current_time() - began:.2f} s")]
    if name not in TESTED:
        return Finding(name=name, is_ready=True, facts=facts, missing=[])
    # The others refuse to start without one, and tell of it in ways of their own.
    account = account_of(told) if name == "claude-code" else account_of(told) or "unknown"
    version = str(told["claude_code_version"]) if "claude_code_version" in told else await _ask_version(facts[0][1])
    facts += [("version", _judged(name, version)), ("account", account or "none")]
    missing = [] if version in TESTED[name] else [_not_tested(name)]
    if account is None:
        missing.append(f"it needs an account: {HOW_TO_LOG_IN[name]}")
    return Finding(name=name, is_ready=True, facts=facts, missing=missing)


async def _with_version(finding: Finding, program: str) -> Finding:
    """Its version too: one that does not start may be too old to."""
    facts = [*finding.facts, ("version", _judged(finding.name, await _ask_version(program)))]
    return Finding(name=finding.name, is_ready=False, facts=facts, missing=finding.missing)


async def _ask_version(program: str) -> str:
    answer = b""
    with trio.move_on_after(VERSION_PATIENCE):
        try:
            done = await trio.run_process(
                [program, "--version"], capture_stdout=True, stderr=subprocess.DEVNULL, check=False
            )
            answer = done.stdout
        except OSError:
            pass  # why it cannot be started is in the finding already
    found = _VERSION.search(answer.decode(errors="replace"))
    return found[0] if found else "unknown"


def _judged(name: str, version: str) -> str:
    return f"{version} ({'tested' if version in TESTED[name] else 'not tested'})"


def _not_tested(name: str) -> str:
    tested = ", ".join(TESTED[name])
    return f"it is tested with version {tested}" if tested else "no version of it is tested: only what was recorded"


def account_of(told: dict[str, Any]) -> str | None:
    """By what the agent is allowed to ask its model, as it says itself; None for nothing."""
    account = told.get("account")
    if not isinstance(account, dict):
        return "unknown"
    for name in ("email", "apiKeySource", "tokenSource"):
        if (value := account.get(name)) and value != "none":
            return str(value)
    provider = account.get("apiProvider")
    return None if provider in (None, "firstParty") else str(provider)


def _show(finding: Finding, console: Console) -> None:
    title = Text(f"\n{finding.name}  ", "bold")
    title.append("ready" if finding.is_ready else "not ready", "green" if finding.is_ready else "red")
    console.print(title)
    width = max(len(name) for name, _ in finding.facts)
    for name, value in finding.facts:
        line = Text(f"  {name:{width}}  ", "bright_black").append(value, "default")
        console.print(line, soft_wrap=True)
    for said in finding.missing:
        console.print(f"  ! {said}", style="yellow", markup=False, soft_wrap=True)
