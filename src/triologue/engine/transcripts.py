"""What was said in the built-in agent's conversations, kept so that they can be resumed, forked and cut."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol, final

from msgspec import Struct, field

LONG = 64
"""So many entries, and what was made of them for one call of the model is kept for the next: else turn 1,000 would make
two thousand dicts anew."""

# How a tool call is answered whose result nobody knows any more.
LOST_RESULT = "This tool call was cut off when the session ended; whether it took effect is unknown."


@final
class Entry:
    """One message of the Messages API, with the uuid of each frame that it went out (or came in) as.

    A prompt has one uuid in all; other lists of blocks have one for each.
    """

    __slots__ = ("content", "role", "uuids")

    def __init__(self, role: str, content: "str | list[dict[str, Any]]", uuids: list[str]) -> None:
        self.role = role
        self.content = content
        self.uuids = uuids

    @property
    def message(self) -> dict[str, Any]:
        """As the Messages API takes it."""
        return {"role": self.role, "content": self.content}

    def copy(self, blocks: int | None = None) -> "Entry":
        """An independent copy, or one of the first blocks only. Blocks are never changed, so they are shared."""
        if isinstance(self.content, str):
            return Entry(self.role, self.content, self.uuids[:])
        if len(self.uuids) != len(self.content):
            blocks = None  # a prompt of several blocks came in as one frame
        return Entry(self.role, self.content[:blocks], self.uuids[:blocks])

    def add(self, block: dict[str, Any], uuid: str) -> None:
        """One more block of a list."""
        assert isinstance(self.content, list)
        self.content.append(block)
        self.uuids.append(uuid)


class SubAgent(Struct, frozen=True, kw_only=True):
    """Whose transcript it is, when it is not the conversation's own."""

    id: str
    """Unique in its conversation: letters, digits, `_` and `-`."""
    kind: str
    """The name of its definition, such as `general-purpose`."""
    tool_use_id: str
    """The call that started it."""
    description: str = ""
    parent_agent_id: str | None = None
    """The sub-agent that started it, if one did."""


class Written(Struct):
    """How much of a conversation is written in lines, wherever these are."""

    uuids: dict[str, None] = field(default_factory=dict[str, None])
    """The lines that make it up, in order."""
    end: "tuple[int, Entry, int] | None" = None
    """Its last entry, with the place in the conversation and how many lines it has; None where that is not known."""
    has_prompts: bool = False
    cost: tuple[float, str] = (0.0, "{}")
    title: str | None = None
    tag: str | None = None
    last_prompt: str | None = None
    since_names: int = 0
    """Bytes that were appended since the title and the tag were."""


@final
class Transcript:
    """One conversation, or what one of its sub-agents did (`agent` is set, `session_id` is the conversation's)."""

    __slots__ = (
        "_made",
        "agent",
        "cost_usd",
        "cwd",
        "entries",
        "forked_from",
        "model_usage",
        "notes",
        "prompts",
        "session_id",
        "settled",
        "tag",
        "title",
        "written",
    )

    def __init__(self, session_id: str, cwd: str, *, agent: SubAgent | None = None) -> None:
        self.session_id = session_id
        self.cwd = cwd
        self.agent = agent
        self.title: str | None = None
        """What a person named it."""
        self.tag: str | None = None
        self.forked_from: str | None = None
        """The conversation that it is a copy of."""
        self.notes: dict[str, dict[str, Any]] | None = None
        """What is only for the history on disk, by the frame's uuid, until it is written."""
        self.entries: list[Entry] = []
        self.prompts: dict[str, str] = {}
        """What became of the prompts that were taken up, by uuid: `completed` or `cancelled`."""
        self.settled: tuple[str, ...] = ()  # nearly always empty, and an empty one weighs nothing
        """The ones of which that was said since the conversation was kept last."""
        self.written: Written | None = None
        """How much of it a host was told in lines; None: nothing, or there is none that wants them."""
        self._made: tuple[list[dict[str, Any]], int, Entry] | None = None
        """The messages of a long conversation, but for the last ones; the place of the last entry among them, and that entry."""
        self.cost_usd = 0.0
        self.model_usage: dict[str, dict[str, Any]] = {}
        """By model. Replaced and never changed."""

    def add(self, role: str, content: "str | list[dict[str, Any]]", uuids: list[str]) -> Entry:
        """Append a message."""
        entry = Entry(role, content, uuids)
        self.entries.append(entry)
        return entry

    def settle(self, uuids: Iterable[str], state: str) -> None:
        """Tell what became of prompts."""
        for uuid in uuids:
            if self.prompts.get(uuid) != state:
                self.prompts[uuid] = state
                self.settled += (uuid,)

    def note(self, uuid: str, **facts: Any) -> None:
        """Tell what the model never sees of the frame of this uuid, for its line in a history on disk.

        Call it before the next `keep`. Facts are fields of the line (`toolUseResult=...`, `isMeta=True`), and
        `message={...}`: fields of the message beside its content (`id`, `model`, `stop_reason`, `usage`).
        """
        if self.notes is None:
            self.notes = {}
        self.notes.setdefault(uuid, {}).update(facts)

    def messages(self) -> tuple[dict[str, Any], ...]:
        """The conversation as the Messages API takes it. Messages of one role may follow each other."""
        entries = self.entries
        if len(entries) < LONG:
            return tuple([entry.message for entry in entries if entry.content])
        made, upto, last = self._made or ([], -1, None)
        if upto >= len(entries) - 1 or (last is not None and entries[upto] is not last):
            made, upto = [], -1
        # The last one may still grow; those before it do not.
        made += [entry.message for entry in entries[upto + 1 : -1] if entry.content]
        self._made = made, len(entries) - 2, entries[-2]
        return (*made, *(entry.message for entry in entries[-1:] if entry.content))

    def fork(self, session_id: str) -> "Transcript":
        """A copy under another id. The prompts are no longer known by their uuids, so they may be sent again."""
        copied = Transcript(session_id, self.cwd)
        copied.forked_from = self.session_id
        copied.entries = [entry.copy() for entry in self.entries]
        copied.cost_usd = self.cost_usd
        copied.model_usage = self.model_usage
        return copied

    def until(self, uuid: str) -> "Transcript | None":
        """A copy that ends with the frame of this uuid; None when there is none."""
        for index, entry in enumerate(self.entries):
            if uuid in entry.uuids:
                cut = self.fork(self.session_id)
                cut.forked_from, cut.title, cut.tag = self.forked_from, self.title, self.tag
                cut.written = self.written
                cut.entries[index:] = [entry.copy(entry.uuids.index(uuid) + 1)]
                kept = {each for kept_entry in cut.entries for each in kept_entry.uuids}
                cut.prompts = {prompt: state for prompt, state in self.prompts.items() if prompt in kept}
                return cut
        return None

    def mend(self) -> None:
        """Answer the tool calls at the end that were never answered: no model takes a call without its result."""
        asked: dict[str, None] = {}
        for entry in self.entries[-2:]:
            for block in entry.content if isinstance(entry.content, list) else ():
                if block.get("type") == "tool_use":
                    asked[block["id"]] = None
                elif block.get("type") == "tool_result":
                    asked.pop(block["tool_use_id"], None)
        if asked:
            lost = [
                {"type": "tool_result", "tool_use_id": use, "content": LOST_RESULT, "is_error": True} for use in asked
            ]
            self.add("user", lost, [""] * len(lost))

    def clear(self, session_id: str) -> "Transcript":
        """A fresh conversation in its place."""
        return Transcript(session_id, self.cwd)

    @property
    def size(self) -> int:
        """Characters of everything said, roughly."""
        return sum(len(str(entry.content)) for entry in self.entries)


class TranscriptStore(Protocol):
    """Where conversations are kept."""

    def __contains__(self, session_id: object) -> bool:
        """Whether the id is taken."""
        ...

    def get(self, session_id: str) -> Transcript | None:
        """The conversation of this id; None when there is none that one could go on with."""
        ...

    def latest(self, cwd: str) -> Transcript | None:
        """The conversation of this folder in which something was said last."""
        ...

    def keep(self, transcript: Transcript) -> None:
        """Something is said in it: from now on it is the latest, and all that was said so far is kept.

        Only what is new costs anything, so it may be called after each message. Synchronous.

        Raises:
            StoreError: it could not be kept.
        """
        ...

    def forget(self, session_id: str) -> None:
        """Drop one; nothing happens when it is unknown."""
        ...


@final
class Transcripts:
    """Conversations by session id, in memory, gone with the process. What sub-agents did is not kept.

    Args:
        limit: how many are kept; beyond it the one that was silent the longest is forgotten. A conversation that
            is going on is not lost by that: its next turn puts it back.
    """

    def __init__(self, *, limit: int = 20_000) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, Transcript] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Transcripts: {len(self._kept)} of at most {self._limit}>"

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._kept

    def get(self, session_id: str) -> Transcript | None:
        """The conversation of this id."""
        return self._kept.get(session_id)

    def latest(self, cwd: str) -> Transcript | None:
        """The conversation of this folder in which something was said last."""
        return next((kept for kept in reversed(self._kept.values()) if kept.cwd == cwd), None)

    def keep(self, transcript: Transcript) -> None:
        """Something is said in it: from now on it is the latest."""
        transcript.notes = None  # there are no lines that they could go to
        transcript.settled = ()
        if transcript.agent is not None:
            return
        self._kept[transcript.session_id] = transcript
        self._kept.move_to_end(transcript.session_id)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """Drop one; nothing happens when it is unknown."""
        self._kept.pop(session_id, None)


default_transcripts = Transcripts()
"""The ones of this process, for agents that are given no others."""
