"""`--agent`, as every command has it that talks to whatever the user works with."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from triologue.agents import DEFAULT_AGENT
from triologue.cli.choosing import AGENTS

Command = TypeVar("Command", bound=Callable[..., Any])

agent_type: Final = click.Choice(list(AGENTS))


def agent_option(command: Command) -> Command:
    """Add it to a command."""
    return click.option(
        "--agent",
        type=agent_type,
        default=DEFAULT_AGENT,
        envvar="TRIOLOGUE_AGENT",
        show_default=True,
        show_envvar=True,
        help="Who answers: a vendor's CLI, or the built-in agent with its offline model.",
    )(command)
