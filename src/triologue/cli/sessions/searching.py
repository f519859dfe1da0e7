"""`triologue sessions search`."""

import sys

from msgspec import Struct, to_builtins
from rich.console import Console
from rich.text import Text

from triologue.cli.console import print_json, print_lines
from triologue.cli.database import existing_database, find
from triologue.cli.endings import ExitCode, one_line
from triologue.cli.sessions.listing import PAGE, Selection
from triologue.cli.sessions.matching import Hit, Search
from triologue.cli.sessions.transcript import FAINT
from triologue.cli.text_flow import in_a_cell
from triologue.errors import StoreError, brief
from triologue.ports import SessionStore, StoredSession


class SearchRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    wanted: str
    key: str | None
    """In this session only."""
    selection: Selection
    limit: int
    """Places that are shown."""
    json: bool


async def search_kept(request: SearchRequest, console: Console) -> ExitCode:
    """Print where a text was said; the exit code says whether it was.

    Raises:
        NotKept: there is no such session.
    """
    hits: list[Hit] = []
    unread: list[StoreError] = []
    async with existing_database() as store:
        if request.key is not None:
            heads = [await find(store, request.key)]
        else:
            heads = await request.selection.read(store)
        for head in heads:
            try:
                await search_in(store, head, request, hits)
            except StoreError as error:
                unread.append(error)
            if len(hits) > request.limit:
                break
    if request.json:
        print_json(to_builtins(hits[: request.limit]))
    else:
        print_lines(map(_line_of, hits[: request.limit]), console)
    return _tell(request, hits, unread)


def _tell(request: SearchRequest, hits: list[Hit], unread: list[StoreError]) -> ExitCode:
    for error in unread:
        sys.stderr.write(f"triologue: {one_line(error)}\n")
    if len(hits) > request.limit:
        sys.stderr.write(f"triologue: there is more than {request.limit}; --limit shows it\n")
    elif not hits and not request.json:
        sys.stderr.write(f"triologue: nobody said {brief(request.wanted)} in what is kept\n")
    return ExitCode.OK if hits and not unread else ExitCode.FAILED


async def search_in(store: SessionStore, head: StoredSession, request: SearchRequest, hits: list[Hit]) -> None:
    """Add what is found in a session, until there is one more than is shown.

    What is said while it is read is not looked for: most sessions are read at once, and another time to find no more.
    """
    search, last = Search(request.wanted), 0
    while last < head.last_seq and len(hits) <= request.limit:
        records = await store.read(head.key, after=last, limit=PAGE)
        if not records:
            break  # it was deleted meanwhile
        found = (search.look_at(head.key, record) for record in records)
        hits += [hit for hit in found if hit is not None]
        last = records[-1].seq


def _line_of(hit: Hit) -> Text:
    line = Text(f"{in_a_cell(hit.key)}  {hit.seq}", FAINT)
    line.append(f"  {'> ' if hit.who == 'prompt' else ''}{hit.before}", "default")
    return line.append(hit.match, "bold yellow").append(hit.after, "default")
