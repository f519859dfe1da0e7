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

from triologue.agents.discovery import find_claude, places
from triologue.cli.endings import CLAUDE_IS_MISSING, ExitCode, one_line, sole_error
from triologue.cli.handshake import start_once
from triologue.errors import TriologueError
from triologue.options import Options
from triologue.ports import Agent

TESTED = {"claude-code": ("2.1.329",)}
"""The versions of each CLI that the test suite runs with."""
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


async def examine(agents: Mapping[str, Agent], console: Console) -> ExitCode:
    """Look at each agent, print what was found, return the exit code."""
    where = f"{platform.system()} {platform.machine()}"
    console.print(f"Python {platform.python_version()}, trio {trio.__version__}, {where}", style="bright_black")
    if platform.system() != "Linux":
        console.print("No subreaper here: when this process is killed outright, its agents are not stopped with it.")
    findings = [await _examine(name, agent) for name, agent in agents.items()]
    for finding in findings:
        _show(finding, console)
    return ExitCode.OK if all(finding.is_ready for finding in findings) else ExitCode.NO_AGENT


async def _examine(name: str, agent: Agent) -> Finding:
    if name not in TESTED:
        return await _start(name, agent, [("program", "none: it runs in this process")])
    try:
        program = str(await trio.to_thread.run_sync(find_claude, Options(), abandon_on_cancel=True))
    except TriologueError as error:
        looked = await trio.to_thread.run_sync(places, abandon_on_cancel=True)
        facts = [("program", "not found"), *((f"  {place.where}", place.path or "nothing there") for place in looked)]
        missing = CLAUDE_IS_MISSING if "\n" in str(error) else one_line(error)  # the places are among the facts
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
    version, account = str(told.get("claude_code_version") or "unknown"), account_of(told)
    facts += [("version", _judged(name, version)), ("account", account or "none")]
    missing = [] if version in TESTED[name] else [f"it is tested with version {', '.join(TESTED[name])}"]
    if account is None:
        missing.append("it needs an account: set ANTHROPIC_API_KEY, or run `claude` and log in")
    return Finding(name=name, is_ready=True, facts=facts, missing=missing)


async def _with_version(finding: Finding, program: str) -> Finding:
    """Its version, asked for in the other way: one that does not start may be too old to."""
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
    version = found[0] if found else "unknown"
    facts = [*finding.facts, ("version", _judged(finding.name, version))]
    return Finding(name=finding.name, is_ready=False, facts=facts, missing=finding.missing)


def _judged(name: str, version: str) -> str:
    return f"{version} ({'tested' if version in TESTED[name] else 'not tested'})"


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
