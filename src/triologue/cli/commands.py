"""The command line: what can be said, and what is said where. All work is done elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click
import trio
from click.core import ParameterSource

from triologue.cli.agent_option import agent_option, agent_type
from triologue.cli.chat import hold_chat
from triologue.cli.choosing import AGENTS, Wish
from triologue.cli.console import new_console
from triologue.cli.demo import DemoOptions, run_demo
from triologue.cli.doctor import examine
from triologue.cli.interrupting import until_interrupted
from triologue.cli.ps import PsRequest, show_running
from triologue.cli.run import Form, RunRequest, run_prompt
from triologue.cli.serving import serve, tokens
from triologue.cli.sessions.commands import sessions
from triologue.cli.top import SORTS, TopRequest, watch_running
from triologue.cli.usage import TellingGroup
from triologue.manager import default_agent
from triologue.options import Options

Command = TypeVar("Command", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A number of seconds within bounds; `nan`, which is beyond none of them, is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As the command line has it, or refused."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


RUN_ENDINGS = """\b
Exit code:
    0  answered
    1  the turn failed
    2  the command line, or a value in it, cannot be
    3  the agent is not installed, does not start, or has no account
    4  there is no conversation with the key or id of --resume
  124  --timeout passed
  130  interrupted by Ctrl-C
"""  # click keeps the line ends of a paragraph that begins with a backspace


def conversation_options(command: Command) -> Command:
    """What `chat` and `run` have in common."""
    for option in (
        click.option("--permission-mode", metavar="MODE", help="What the agent may do: default, acceptEdits, plan ..."),
        click.option("--cwd", type=click.Path(exists=True, file_okay=False), help="The folder to work in."),
        click.option("--no-keep", is_flag=True, help="Keep nothing of it."),
        click.option("--continue", "continue_", is_flag=True, help="Go on with the latest conversation of the folder."),
        click.option(
            "--resume",
            metavar="KEY_OR_ID",
            help="Go on with this conversation; `triologue sessions list` has the keys.",
        ),
        click.option("--model", metavar="NAME", help="The model to use."),
    ):
        command = option(command)
    return agent_option(command)


def package_version() -> str:
    """The version that is installed."""
    from importlib.metadata import PackageNotFoundError, version  # it takes a while to load

    try:
        return version("triologue")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _tell_version(context: click.Context, option: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:  # a shell that completes the command asks what may follow
        click.echo(f"triologue {package_version()}")
        context.exit()


@click.group(cls=TellingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
def triologue() -> None:
    """Many multi-turn agent conversations in one process, and none of them lost.

    Start with `triologue doctor`, which says what is installed, or `triologue demo`, which needs nothing.
    """


@triologue.command(short_help="Hold 200 conversations at once, and show that none is lost.")
@click.option("--agent", type=agent_type, default="embedded", show_default=True, help="Who holds the conversations.")
@click.option(
    "--sessions",
    type=click.IntRange(1, 10_000),
    help="How many conversations.  [default: 200; 4 with a CLI, where each is a process and costs money]",
)
@click.option("--turns", type=click.IntRange(2, 1_000), default=5, show_default=True, help="Turns in each of them.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same conversations.")
@click.option(
    "--pace",
    type=Seconds(0, 10),
    default=0.04,
    show_default=True,
    help="Seconds between two words of the built-in agent.",
)
@click.option("--model", metavar="NAME", help="The model to use.")
def demo(**said: Any) -> int:
    """Hold many conversations at once, and show that none is lost.

    Some of them are interrupted, forked, or hibernated and resumed on the way; every answer is checked for what it has
    to remember. A table at the end says what happened, how long it took, how much memory a conversation costs, and that
    nothing is left behind. It needs no key and no network, unless you choose another agent.

    Exit code: 0 when nothing was lost, leaked or answered wrongly, 1 otherwise, 3 when the agent does not start.
    """
    console = new_console()
    return trio.run(run_demo, DemoOptions(**said), console)


@triologue.command(short_help="Talk to an agent in the terminal.")
@conversation_options
def chat(agent: str, **said: Any) -> int:
    """Talk to an agent in the terminal.

    The conversation is kept; --continue and --resume go on with it later, and `triologue sessions` lists what is kept.

    Ctrl-C stops the answer and not the program; at the prompt, Ctrl-D or a second Ctrl-C leaves. /help lists the
    commands of the chat (/resume, /fork, /model, /quit); all others go to the agent. When the input is no terminal,
    each of its lines is a prompt, and the chat ends with it.

    Exit code: 0; 3 when the agent does not start; without a terminal also 1 when a prompt had no answer, and 130 after
    Ctrl-C.
    """
    wish = _wish("chat", agent, said, include_partial_messages=True)
    # What a person types is meant as the agent's own prompt means it: slash commands, and files by @path.
    wish.options.verbatim_prompts = False
    return trio.run(hold_chat, wish, new_console())


@triologue.command(
    short_help="Send one prompt, print the answer, tell the outcome by the exit code.", epilog=RUN_ENDINGS
)
@click.argument("prompt")
@conversation_options
@click.option("--session-id", metavar="UUID", help="The id that the new conversation, or the fork, gets.")
@click.option("--fork", is_flag=True, help="With --resume or --continue: go on in a copy.")
@click.option("--max-turns", type=click.IntRange(1), help="Round trips with the model, at most.")
@click.option("--timeout", type=Seconds(0, min_open=True), help="Seconds; then the turn is interrupted.")
@click.option("--json", is_flag=True, help="Print one JSON object: the result and its outcome.")
@click.option("--stream-json", is_flag=True, help="Print every message as it comes, one JSON a line.")
def run(agent: str, prompt: str, json: bool, stream_json: bool, timeout: float | None, **said: Any) -> int:
    """Send one PROMPT and print the answer while it comes; `-` reads the prompt from standard input.

    The conversation is kept, unless --no-keep is given; --continue and --resume go on with it.
    """
    if said["fork"] and not (said["resume"] or said["continue_"]):
        raise click.UsageError("--fork needs --resume KEY_OR_ID or --continue")
    if said["session_id"] and (said["resume"] or said["continue_"]) and not said["fork"]:
        raise click.UsageError("--session-id cannot rename a conversation that goes on; add --fork, or leave it out")
    if json and stream_json:
        raise click.UsageError("--json and --stream-json are two forms of output; give one of them")
    if prompt == "-":
        prompt = sys.stdin.read()
    if not prompt.strip():
        raise click.UsageError("the prompt is empty")
    form: Form = "json" if json else "stream-json" if stream_json else "text"
    wish = _wish("run", agent, said, include_partial_messages=form == "text")
    return trio.run(run_prompt, RunRequest(prompt=prompt, wish=wish, form=form, timeout=timeout))


@triologue.command(short_help="Say which agents are installed, and whether they start.")
@click.argument("agent", type=agent_type, required=False, metavar="[AGENT]")
def doctor(agent: str | None) -> int:
    """Look at each agent: is it installed, is its version one that is tested, does it start.

    AGENT (claude-code, qoder, cortex-code or embedded): only this one. It is started the way every conversation starts
    it, up to its first prompt, and no further: no model is asked.

    Exit code: 0 when AGENT starts, or without it the one that is used where none is named; 3 otherwise. A version that
    is not tested is only a remark.
    """
    names = [agent] if agent else list(AGENTS)
    needed = agent or default_agent().name
    look = partial(examine, {name: AGENTS[name]() for name in names}, new_console(), needed=needed)
    return trio.run(until_interrupted, look)


@triologue.command(short_help="Say what runs, and what it waits for.")
@click.argument("key", required=False)
@click.option("--all", is_flag=True, help="Show sleeping sessions too.")
@click.option("--json", is_flag=True, help="Print JSON.")
def ps(key: str | None, all: bool, json: bool) -> int:
    """List the managers of this user that run, and their sessions: in which state, and what each waits for.

    With the KEY of a session: explain why it is stuck, with its turns and their ages, its next deadline and its agent.

    Exit code: 0; 1 when no manager knows KEY, or one does not answer.
    """
    return trio.run(until_interrupted, partial(show_running, PsRequest(key=key, json=json, all=all), new_console()))


@triologue.command(short_help="Watch what runs.")
@click.option(
    "--interval",
    type=Seconds(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="age", show_default=True, help="What comes first: the most of it."
)
def top(**said: Any) -> int:
    """Watch the managers of this user that run, and their sessions.

    In a terminal: the key s sorts by something else, q or Ctrl-C leaves. Elsewhere a line is printed for each look.
    """
    return trio.run(watch_running, TopRequest(**said), new_console())


def _wish(command: str, agent: str, said: dict[str, Any], *, include_partial_messages: bool) -> Wish:
    if said["resume"] and said["continue_"]:
        raise click.UsageError("--resume and --continue name two conversations; give one of them")
    options = Options(
        resume=said["resume"],
        continue_conversation=said["continue_"],
        fork_session=said.get("fork", False),
        session_id=said.get("session_id"),
        max_turns=said.get("max_turns"),
        model=said["model"],
        cwd=said["cwd"],
        permission_mode=said["permission_mode"],
        include_partial_messages=include_partial_messages,
    )
    source = click.get_current_context().get_parameter_source("agent")
    return Wish(
        command=command,
        agent=agent,
        is_agent_named=source is ParameterSource.COMMANDLINE,
        options=options,
        is_kept=not said["no_keep"],
        is_paced=command == "chat",
    )


triologue.add_command(sessions)
triologue.add_command(serve)
triologue.add_command(tokens)
