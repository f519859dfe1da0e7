"""The command line of `triologue sessions`: what can be said. All work is done elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import trio

from triologue.cli.chat import hold_chat
from triologue.cli.choosing import Wish, make_agent
from triologue.cli.console import new_console
from triologue.cli.interrupting import until_interrupted
from triologue.cli.sessions.changing import fork_kept, rename_kept, tag_kept
from triologue.cli.sessions.exporting import ExportRequest, Form, export_kept
from triologue.cli.sessions.importing import RULES, ImportRequest, import_histories
from triologue.cli.sessions.listing import ListRequest, Selection, ShowRequest, list_kept, show_kept
from triologue.cli.sessions.removing import delete_kept, prune_kept
from triologue.cli.sessions.searching import SearchRequest, search_kept
from triologue.cli.sessions.spans import seconds_of
from triologue.cli.usage import TellingGroup
from triologue.options import Options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from triologue.cli.endings import ExitCode

Command = TypeVar("Command", bound="Callable[..., Any]")

json_option = click.option("--json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask.")
key_argument = click.argument("key", metavar="KEY_OR_ID")


class Span(click.ParamType[float]):
    """A time span."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """In seconds, or refused."""
        try:
            return seconds_of(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def selection_options(command: Command) -> Command:
    """Which sessions."""
    command = click.option("--tag", metavar="TAG", help="Only those with this tag.")(command)
    return click.option("--prefix", default="", metavar="TEXT", help="Only those whose keys begin with this.")(command)


def _run(work: Callable[[], Awaitable[ExitCode]]) -> int:
    return trio.run(until_interrupted, work)


@click.group(
    cls=TellingGroup, short_help="Look at the conversations that are kept, go on with them, move and delete them."
)
def sessions() -> None:
    """Look at the conversations that are kept, go on with them, move and delete them.

    `chat` and `run` keep theirs in a database in your data folder, or in $TRIOLOGUE_HOME. KEY_OR_ID is the key of a
    session, as `list` shows it, or the session id that its agent gave it.

    Exit code: 0; 1 when something could not be done, or nothing was found; 2 when the command line cannot be; 4 when
    there is no such session.
    """


@sessions.command("list", short_help="List the sessions, the latest one first.")
@selection_options
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@json_option
def list_(prefix: str, tag: str | None, limit: int, json: bool) -> int:
    """List the sessions that are kept, the one that was active last first.

    TITLE is what a session was named, or else its first prompt; STATE says who works with it now.
    """
    selection = Selection(prefix=prefix, tag=tag, limit=limit)
    return _run(partial(list_kept, ListRequest(selection=selection, json=json), new_console()))


@sessions.command(short_help="Show what was said in a session.")
@key_argument
@click.option("--from", "first", type=click.IntRange(1), default=1, metavar="SEQ", help="Begin with this record.")
@click.option("--json", is_flag=True, help="Print what is known of it as JSON; `export` gives what was said.")
def show(key: str, first: int, json: bool) -> int:
    """Show a session: what is known of it, and what was said, with tools, outcomes and costs.

    The numbers in brackets are those that `search` shows and --from takes.
    """
    return _run(partial(show_kept, ShowRequest(key=key, first=first, json=json), new_console()))


@sessions.command(short_help="Find what was said.")
@click.argument("text")
@click.option("--in", "key", metavar="KEY_OR_ID", help="Only in this session.")
@selection_options
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Places that are shown.")
@json_option
def search(text: str, key: str | None, prefix: str, tag: str | None, limit: int, json: bool) -> int:
    """Find TEXT in prompts and answers, whatever its case.

    For each place: the key of the session, the number of the record, and what stands around it; prompts begin with >.
    """
    if not text.strip():
        raise click.UsageError("the text to look for is blank")
    selection = Selection(prefix=prefix, tag=tag)
    request = SearchRequest(wanted=text, key=key, selection=selection, limit=limit, json=json)
    return _run(partial(search_kept, request, new_console()))


@sessions.command(short_help="Go on with a session in a chat.")
@key_argument
@click.option("--model", metavar="NAME", help="The model to use from now on.")
@click.option("--permission-mode", metavar="MODE", help="What the agent may do from now on.")
def resume(key: str, model: str | None, permission_mode: str | None) -> int:
    """Go on with a session in a chat; the same as `triologue chat --resume KEY_OR_ID`."""
    options = Options(
        resume=key, model=model, permission_mode=permission_mode, include_partial_messages=True, verbatim_prompts=False
    )
    wish = Wish(command="chat", agent="", options=options, is_paced=True)
    return trio.run(hold_chat, wish, new_console())


@sessions.command(short_help="Begin a copy of a session.")
@key_argument
@click.argument("new_key", required=False)
@click.option("--at", metavar="UUID", help="The last message to copy; without it all are.")
def fork(key: str, new_key: str | None, at: str | None) -> int:
    """Begin a copy of a session under NEW_KEY, or under a key of its own, and print that. The original stays as it is.

    The agent makes the copy at its first message: `triologue chat --resume NEW_KEY`. Keep the original until then.
    """
    return _run(partial(fork_kept, key, new_key, at, make_agent))


@sessions.command(short_help="Give a session a title.")
@key_argument
@click.argument("title")
def rename(key: str, title: str) -> int:
    """Give a session a TITLE; an empty one takes it away. Its key stays."""
    return _run(partial(rename_kept, key, title))


@sessions.command(short_help="Give a session tags.")
@key_argument
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", "-r", "removed", multiple=True, metavar="TAG", help="Take this one away.")
def tag(key: str, tags: tuple[str, ...], removed: tuple[str, ...]) -> int:
    """Give a session each TAG, and print those that it has then."""
    if any(not each.strip() for each in tags):
        raise click.UsageError("a tag is blank")
    return _run(partial(tag_kept, key, tags, removed))


@sessions.command(short_help="Write a session out.")
@key_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "claude"]),
    default="jsonl",
    show_default=True,
    help="A record of the log a line; or the files that its agent's program keeps.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="The file; with `claude` the folder.  [default: standard output; the current folder]",
)
def export(key: str, form: Form, output: Path | None) -> int:
    """Write a session out; nothing that is there already is written over.

    With `--format claude` the files are named as they are written. In the folder of a project below ~/.claude/projects
    they are what Claude Code goes on with.
    """
    return _run(partial(export_kept, ExportRequest(key=key, form=form, output=output)))


@sessions.command("import", short_help="Take in what the vendors' programs have kept.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option(
    "--agent",
    type=click.Choice(list(RULES)),
    default="claude-code",
    show_default=True,
    help="Whose histories they are, and who goes on with them.",
)
@click.option("--key", metavar="KEY", help="The key of the session, where it is one.  [default: imported/<id>]")
@click.option("--all", is_flag=True, help="Without PATH: the histories of all folders.")
def import_(paths: tuple[Path, ...], agent: str, key: str | None, all: bool) -> int:
    """Take in conversations that were held with a vendor's program.

    PATH is the file of a history (<session id>.jsonl) or a folder of such; without one, those of the current folder
    are taken. Once more changes nothing; what has grown since is added.
    """
    if paths and all:
        raise click.UsageError("--all takes the histories of all folders; leave it out, or the PATH")
    return _run(partial(import_histories, ImportRequest(paths=paths, agent=agent, key=key, all=all)))


@sessions.command(short_help="Delete sessions.")
@click.argument("keys", nargs=-1, required=True, metavar="KEY_OR_ID...")
@yes_option
def delete(keys: tuple[str, ...], is_sure: bool) -> int:
    """Delete sessions from the database, with all that was said. What their agents keep themselves stays.

    Those that a program works with now are not deleted, and named.
    """
    return trio.run(partial(delete_kept, keys, new_console(), is_sure=is_sure))


@sessions.command(short_help="Delete the sessions that nobody has used for long.")
@click.option("--older-than", type=Span(), required=True, metavar="SPAN", help="As in 12h, 30d or 8w.")
@selection_options
@yes_option
def prune(older_than: float, prefix: str, tag: str | None, is_sure: bool) -> int:
    """Show the sessions in which nothing was said for so long, ask, and delete them.

    Those that a program works with now are not deleted, and named.
    """
    selection = Selection(prefix=prefix, tag=tag)
    return trio.run(partial(prune_kept, older_than, selection, new_console(), is_sure=is_sure))
