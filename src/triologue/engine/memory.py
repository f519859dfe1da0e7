"""What the offline model can tell from a conversation: prompts, facts, tool results."""

import re
from collections.abc import Sequence
from typing import Any, final

# Texts in the user's place that no user wrote.
_MARKERS = ("[Request interrupted by user", "<system-reminder>")

_REMEMBER = re.compile(r"\b(?:please )?remember(?: that|:)\s*(.+?)(?:[.!]?\s*$|[.!?]\s)", re.IGNORECASE | re.MULTILINE)
_PLAIN = re.compile(r"(?:^|[.!?]\s+)((?:I|My|I'm)\b[^.!?\n]*[^.!?\s])(?=[.!]|\s*$)", re.MULTILINE)
_ALL = re.compile(r"\b(?:did I tell you|do you (?:remember|know)(?: about me)?)\b", re.IGNORECASE)
_ASKS = re.compile(r"(?:what|who|where|when|which|how|do you)\b", re.IGNORECASE)
_ME = re.compile(r"\b(?:I|my|me)\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow many (?:turns|messages|prompts)\b", re.IGNORECASE)
_SAID = re.compile(r"\bwhat did I (?:say|ask)(?: you)? (first|last)\b", re.IGNORECASE)
_SUMMARIZE = re.compile(r"^summari[sz]e\b", re.IGNORECASE)
_FACT_LINE = re.compile(r"^Remember: (.+)$", re.MULTILINE)

# Words that a question and a fact may share without being about the same thing.
_COMMON = frozenset(
    re.findall(
        r"\S+",
        "what who where when which how do does did is are was am i i'm my me mine you your the a an of to in on at about "
        "tell told remember know again please now still that it for and",
    )
)
_PERSONS = {
    "i": "you",
    "i'm": "you are",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "am": "are",
    "was": "were",
}


@final
class Memory:
    """A conversation as the offline model sees it."""

    __slots__ = ("facts", "pictures", "prompts", "results", "rounds", "uses")

    def __init__(self) -> None:
        self.prompts: list[str] = []
        """All that the user said, oldest first."""
        self.facts: list[str] = []
        """What the user told about, without what the last prompt tells."""
        self.results: list[str] = []
        """A sentence for each tool result of the last round."""
        self.rounds = 0
        """How often tools were called since the last prompt."""
        self.uses = 0
        """How many tool calls there were in all."""
        self.pictures = 0
        """Images and documents in the last prompt."""

    @property
    def prompt(self) -> str:
        """The last one."""
        return self.prompts[-1] if self.prompts else ""

    def answer(self) -> str | None:
        """What memory has to say to the last prompt; None when it is about something else."""
        prompt = self.prompt
        if _SUMMARIZE.match(prompt):
            return "\n".join(f"Remember: {fact}" for fact in self.facts) or "Nothing was told."
        if _HOW_MANY.search(prompt):
            return f"This is your {ordinal(len(self.prompts))} message."
        if said := _SAID.search(prompt):
            earlier = self.prompts[:-1] or self.prompts
            return f'You said: "{earlier[0] if said[1].lower() == "first" else earlier[-1]}".'
        if _asks_about_me(prompt):
            return self._recall(prompt)
        told = [to_you(fact) for fact in facts_in(prompt)]
        return f"I will remember that {join(told)}." if told and _REMEMBER.search(prompt) else None

    def _recall(self, question: str) -> str:
        told = self.facts if _ALL.search(question) else [fact for fact in self.facts if is_about(fact, question)]
        if not told:
            return "You have not told me that yet."
        sentence = join([to_you(fact) for fact in dict.fromkeys(told)])
        return f"{sentence[0].upper()}{sentence[1:]}."


def read_memory(messages: Sequence[dict[str, Any]]) -> Memory:
    """Read a conversation in the form of the Messages API."""
    memory = Memory()
    names: dict[str, str] = {}
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            uses = {block["id"]: block["name"] for block in blocks if block.get("type") == "tool_use"}
            names |= uses
            memory.uses += len(uses)
            memory.rounds += bool(uses)
            memory.results = []
        else:
            _read_user(memory, blocks, names)
    for prompt in memory.prompts[:-1]:
        memory.facts += facts_in(prompt)
    return memory


def _read_user(memory: Memory, blocks: list[dict[str, Any]], names: dict[str, str]) -> None:
    said: list[str] = []
    pictures = 0
    for block in blocks:
        match block.get("type"):
            case "tool_result":
                memory.results.append(_result(block, names))
            case "text" if isinstance(text := block.get("text"), str) and not text.startswith(_MARKERS):
                said.append(text)
            case "image" | "document":
                pictures += 1
            case _:
                pass
    if said or pictures:
        memory.prompts.append("\n".join(said).strip())
        memory.pictures = pictures
        memory.results, memory.rounds = [], 0


def _result(block: dict[str, Any], names: dict[str, str]) -> str:
    name = names.get(str(block.get("tool_use_id")), "tool")
    verb = "failed" if block.get("is_error") else "says"
    return f"The tool {name} {verb}: {result_text(block).rstrip('.')}."


def result_text(block: dict[str, Any]) -> str:
    """The text of a tool result, whatever its host made of it."""
    content = block.get("content")
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return " ".join(str(part.get("text", f"[{part.get('type')}]")) for part in parts)


def _asks_about_me(prompt: str) -> bool:
    """A question word, then the one who asks, then a question mark; in one pass over a prompt of any length."""
    begun = _ASKS.match(prompt)
    return begun is not None and _ME.search(prompt, begun.end(), max(0, prompt.rfind("?"))) is not None


def facts_in(prompt: str) -> list[str]:
    """What a prompt tells about its user."""
    lines = _FACT_LINE.findall(prompt)
    if lines:
        return [line.rstrip(".! ") for line in lines]
    found = [match[1].strip() for match in _REMEMBER.finditer(prompt)]
    return found or [match[1].strip() for match in _PLAIN.finditer(prompt)]


def is_about(fact: str, question: str) -> bool:
    """Whether the two share a word that means something; "who am I" asks for what was said with "am" or "name"."""
    words = {word.rstrip("s") for word in re.findall(r"[\w']+", fact.lower())}
    if re.search(r"\bwho am i\b", question, re.IGNORECASE):
        return bool(words & {"am", "i'm", "name"})
    asked = {word.rstrip("s") for word in re.findall(r"[\w']+", question.lower()) if word not in _COMMON}
    return bool(words & asked)


def to_you(fact: str) -> str:
    """A statement of the user about themselves, said to them."""
    return re.sub(r"[\w']+", lambda word: _PERSONS.get(word[0].lower(), word[0]), fact)


def join(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
