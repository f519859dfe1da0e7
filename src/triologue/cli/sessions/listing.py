"""`triologue sessions list` and `show`."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triologue.agents import is_dead
from triologue.cli.console import PIPE_WIDTH, print_json, print_lines
from triologue.cli.database import existing_database, find
from triologue.cli.endings import ExitCode
from triologue.cli.sessions.spans import ago
from triologue.cli.sessions.transcript import FAINT, Shown, TranscriptView, first_prompt, rows_of, state_of
from triologue.cli.text_flow import in_a_cell
from triologue.errors import StoreError, told_owner
from triologue.ports import SessionStore, StoredSession

PAGE = 500
"""Records that are read at once."""
FIRST = 3
"""Records among which is the first prompt."""
WIDE = 100
"""Characters of a line that has room for all columns."""
LONGEST_TITLE = 60
"""Characters, where nothing else bounds them."""


class Selection(Struct, frozen=True, kw_only=True):
    """Which sessions."""

    prefix: str = ""
    tag: str | None = None
    limit: int = sys.maxsize
    before: float | None = None
    """Only those that were active last before this, in seconds since the epoch."""

    async def read(self, store: SessionStore) -> list[StoredSession]:
        """Their heads, the one that was active last first."""
        asked = self.limit if self.tag is None else sys.maxsize
        heads = await store.list_sessions(prefix=self.prefix, limit=asked, before=self.before)
        return [head for head in heads if self.tag is None or self.tag in head.tags][: self.limit]


class ListRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    selection: Selection
    json: bool


class ShowRequest(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    key: str
    first: int
    """The `seq` to begin with."""
    json: bool


async def list_kept(request: ListRequest, console: Console) -> ExitCode:
    """Print the sessions that are kept."""
    async with existing_database() as store:
        heads = await request.selection.read(store)
        holders = await holders_of(store, heads)
        if request.json:
            print_json([builtins_of(head, holders.get(head.key)) for head in heads])
        elif not heads:
            is_all = not request.selection.prefix and request.selection.tag is None
            console.print("No session is kept." if is_all else "No such session is kept.")
        else:
            titles = {head.key: await title_of(store, head) for head in heads}
            print_table(heads, titles, holders, console)
    return ExitCode.OK


async def show_kept(request: ShowRequest, console: Console) -> ExitCode:
    """Print one session.

    Raises:
        NotKept: there is none.
    """
    async with existing_database() as store:
        head = await find(store, request.key)
        held_by = (await holders_of(store, [head])).get(head.key)
        if request.json:
            print_json(builtins_of(head, held_by))
            return ExitCode.OK
        console.print(in_a_cell(head.key), style="bold", markup=False, soft_wrap=True)
        for name, value in rows_of(head, held_by=held_by):
            console.print(Text(f"  {name:<11}  ", FAINT).append(value, "default"), soft_wrap=True)
        view, last = TranscriptView(first=request.first), 0
        while records := await store.read(head.key, after=last, limit=PAGE):
            print_lines((_line_of(line) for record in records for line in view.show(record)), console)
            last = records[-1].seq
        print_lines(map(_line_of, view.end()), console)
    return ExitCode.OK


async def holders_of(store: SessionStore, heads: Sequence[StoredSession]) -> dict[str, str]:
    """Which programs work with these sessions, as people read it, by key; without those that are known to be dead."""
    owners = await store.holders([head.key for head in heads])
    return {key: told_owner(owner) for key, owner in owners.items() if not is_dead(owner)}


async def title_of(store: SessionStore, head: StoredSession) -> str:
    """Its title; else what was said first. One session that cannot be read keeps nobody from seeing the others."""
    if head.title:
        return head.title
    try:
        return first_prompt(await store.read(head.key, limit=FIRST)) or ""
    except StoreError:
        return "(damaged)"


def print_table(heads: list[StoredSession], titles: dict[str, str], holders: dict[str, str], console: Console) -> None:
    """Print sessions, a row for each, as wide as a terminal, or else as they are."""
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    width = console.width if console.is_terminal else None
    console.print(table_of(heads, titles, holders, now=time.time(), width=width))


def table_of(
    heads: list[StoredSession], titles: dict[str, str], holders: dict[str, str], *, now: float, width: int | None
) -> Table:
    """Sessions, a row for each; where there is little room, without what one can do without.

    Args:
        heads: what is known of them.
        titles: by key.
        holders: who has them, by key.
        now: the time, in seconds since the epoch.
        width: characters of a line; None: as many as it takes.
    """
    is_narrow = width is not None and width < WIDE
    table = Table(box=None, pad_edge=False, header_style=FAINT, expand=width is not None)
    table.add_column("KEY", no_wrap=True, max_width=None if width is None else max(14, width // 3))
    table.add_column("TITLE", no_wrap=True, ratio=None if width is None else 1)
    if not is_narrow:
        table.add_column("AGENT", no_wrap=True)
        table.add_column("TURNS", justify="right", no_wrap=True)
        table.add_column("COST", justify="right", no_wrap=True)
    table.add_column("ACTIVE", justify="right", no_wrap=True)
    table.add_column("STATE", no_wrap=True, max_width=None if width is None else max(12, width // 4))
    for head in heads:
        cost = f"${head.cost_usd:.2f}" if head.cost_usd is not None else "-"
        held_by = holders.get(head.key)
        table.add_row(
            Text(in_a_cell(head.key)),
            Text(_cut(in_a_cell(titles[head.key]))),
            *(() if is_narrow else (Text(in_a_cell(head.agent) or "-"), str(head.turns), cost)),
            ago(max(0.0, now - head.last_active)) if head.last_active else "not known",
            Text(state_of(head, held_by=held_by), "green" if held_by else "default"),
        )
    return table


def _cut(title: str) -> str:
    title = " ".join(title.split())
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"


def builtins_of(head: StoredSession, held_by: str | None) -> dict[str, Any]:
    """A head as `--json` prints it."""
    told: dict[str, Any] = msgspec.to_builtins(head)
    return {**told, "held_by": held_by}


def _line_of(shown: Shown) -> Text:
    return Text(shown.text, shown.style)
