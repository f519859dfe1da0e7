"""The command line of `triologue serve` and `triologue tokens`: what can be said. All work is done elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import click
import trio

from triologue.cli.agent_option import agent_option
from triologue.cli.console import new_console
from triologue.cli.serve import ServeRequest, serve_sessions
from triologue.cli.sessions.commands import Span
from triologue.cli.tokens import add_token, list_tokens, revoke_token
from triologue.cli.usage import TellingCommand, TellingGroup
from triologue.options import Options
from triologue.protocol.told import Right

file_type = click.Path(dir_okay=False, path_type=Path)
tokens_option = click.option(
    "--tokens",
    type=file_type,
    metavar="FILE",
    help="The file with the tokens.  [default: tokens.json in the data folder]",
)


@click.command(cls=TellingCommand, short_help="Lend sessions to other programs, with a page to watch them.")
@agent_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0: any that is free.")
@click.option(
    "--store", type=file_type, metavar="FILE", help="An SQLite file.  [default: the database of the commands]"
)
@click.option("--memory", is_flag=True, help="Keep nothing.")
@click.option("--tokens", type=file_type, metavar="FILE", help="Ask each client for a token of this file.")
@click.option("--tls-cert", type=file_type, metavar="FILE", help="A certificate, with its chain, in PEM.")
@click.option("--tls-key", type=file_type, metavar="FILE", help="Its key, where that is in another file.")
@click.option(
    "--origin", "origins", multiple=True, metavar="URL", help="Pages of this origin may connect too; repeatable."
)
@click.option("--insecure", is_flag=True, help="Listen where others can connect, without TLS or without tokens.")
@click.option("--cwd", type=click.Path(exists=True, file_okay=False), help="The folder to work in.")
@click.option("--model", metavar="NAME", help="The model to use.")
@click.option("--permission-mode", metavar="MODE", help="What the agent may do: default, acceptEdits, plan ...")
def serve(**said: Any) -> int:
    """Lend sessions to other programs over WebSocket, and show them on a page.

    Prints where, and serves until SIGTERM or Ctrl-C; then turns that run may end, and a second signal interrupts them.
    Sessions are kept; what was accepted before and has no outcome goes on.

    Any other address than loopback needs --tokens and --tls-cert, or an explicit --insecure.

    Exit code: 0 when a signal ended it; 1 when the database or the token file cannot be used; 2 when it cannot be
    served like this.
    """
    if said["store"] and said["memory"]:
        raise click.UsageError("--store and --memory are two answers to one question; give one of them")
    if said["tls_key"] and not said["tls_cert"]:
        raise click.UsageError("--tls-key is of a certificate; add --tls-cert FILE")
    options = Options(
        cwd=said["cwd"],
        model=said["model"],
        permission_mode=said["permission_mode"],
        include_partial_messages=True,
        permission_prompt_tool_name="stdio",  # agents ask, and whoever may approve finds the request
    )
    request = ServeRequest(
        agent=said["agent"],
        host=said["host"],
        port=said["port"],
        store=said["store"],
        is_in_memory=said["memory"],
        tokens=said["tokens"],
        certificate=said["tls_cert"],
        key=said["tls_key"],
        origins=said["origins"],
        is_insecure=said["insecure"],
        options=options,
    )
    return trio.run(serve_sessions, request)


@click.group(cls=TellingGroup, short_help="Say who may use a gateway.")
def tokens() -> None:
    """Say who may use a gateway.

    A token has rights and, if you like, a prefix: keys of sessions that do not begin with it do not exist for it. Only
    its hash is kept. `triologue serve --tokens FILE` reads the file again when it changes.

    Exit code: 0; 1 when there is no such token, or the file cannot be used; 2 when the command line cannot be.
    """


@tokens.command(short_help="Make a token, and print it.")
@click.argument("name")
@click.option(
    "--right",
    "rights",
    type=click.Choice(get_args(Right)),
    multiple=True,
    default=["watch"],
    show_default=True,
    help="What it may be used for; repeatable.",
)
@click.option("--prefix", default="", metavar="TEXT", help="Only for sessions whose keys begin with this.")
@click.option("--expires", "span", type=Span(), metavar="SPAN", help="It expires after this time: 12h, 30d ...")
@tokens_option
def add(name: str, rights: tuple[str, ...], prefix: str, span: float | None, tokens: Path | None) -> int:
    """Make a token and print it, this once. NAME is for people, in lists and logs.

    Rights: watch (list and follow sessions), prompt (prompts, interrupts, forks), approve (answer permission requests),
    admin (settings, close, delete). None of them holds another.
    """
    return add_token(tokens, name, rights=cast("tuple[Right, ...]", rights), prefix=prefix, span=span)


@tokens.command("list", short_help="List the tokens.")
@tokens_option
@click.option("--json", is_flag=True, help="Print JSON.")
def list_(tokens: Path | None, json: bool) -> int:
    """List the tokens and what they allow; no secret is in it."""
    return list_tokens(tokens, new_console(), json=json)


@tokens.command(short_help="Make a token invalid.")
@click.argument("id")
@tokens_option
def revoke(id: str, tokens: Path | None) -> int:
    """Make the token with this ID invalid, as `list` shows it; a gateway that runs closes its connections."""
    return revoke_token(tokens, id)
