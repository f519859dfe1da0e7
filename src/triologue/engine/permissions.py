"""Whether a tool may run: rules, modes and folders. It decides; whoever is to be asked is asked elsewhere."""

import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, final

import msgspec
from msgspec import Struct

from triologue.engine.toolbox import EngineTool
from triologue.messages import PermissionUpdate

PERMISSION_MODES = ("acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan")

Behavior: TypeAlias = Literal["allow", "deny", "ask"]

_RULE = re.compile(r"([^()]+)(?:\((.*)\))?", re.DOTALL)
# What begins another command, or lets one do more than its words say.
_SEPARATORS = re.compile(r"&&|\|\||[;|&\n]")
_TRICKS = re.compile(r"\$\(|`|[<>]")
_FAMILIES = {"Edit": "edit", "Read": "read"}


class Rule(NamedTuple):
    """One rule: a tool, and what of it; None: all of it."""

    tool: str
    content: str | None = None


class Verdict(NamedTuple):
    """What the rules say, and why."""

    behavior: Behavior
    reason: str = ""
    reason_type: str | None = None


class _Updates(Struct):
    updates: list[PermissionUpdate]


def parse_rule(text: str) -> Rule | None:
    """`Bash`, `Bash(git status:*)`, `mcp__server`, `mcp__server__tool`; None when it is none."""
    match = _RULE.fullmatch(text.strip())
    if match is None:
        return None
    return Rule(match[1].strip(), None if match[2] in (None, "", "*") else match[2])


@final
class Permissions:
    """The rules of one connection. They begin with its options and change by what its host answers.

    Args:
        mode: the permission mode.
        directories: where reading is free, and editing in the mode `acceptEdits`; the first is the working directory.
        allowed: rules for what runs without asking.
        disallowed: rules for what never runs.
    """

    __slots__ = ("_cwd", "_directories", "_rules", "mode")

    def __init__(
        self, mode: str, directories: Iterable[str], allowed: Iterable[str], disallowed: Iterable[str]
    ) -> None:
        self.mode = mode
        self._directories = tuple(directories)
        self._cwd = self._directories[0]
        self._rules = _read_rules(tuple(allowed), tuple(disallowed))

    def removes(self, name: str) -> bool:
        """Whether the model is not even told about this tool."""
        return any(rule.content is None and _names(rule.tool, name) for rule in self._rules["deny"])

    def judge(self, tool: EngineTool, given: dict[str, Any], *, is_watched: bool) -> Verdict:
        """May this call run?

        Args:
            tool: what is called.
            given: its input.
            is_watched: the host wants to be asked, also about tools that need no permission.
        """
        if tool.is_free:
            return Verdict("allow")
        if self._says("deny", tool, given):
            return Verdict("deny", f"Permission to use {tool.name} has been denied.", "rule")
        if self.mode == "bypassPermissions":
            return Verdict("allow", reason_type="mode")
        if self._says("ask", tool, given):
            verdict = Verdict("ask", reason_type="rule")
        elif self._says("allow", tool, given):
            return Verdict("allow", reason_type="rule")
        elif self._is_open(tool, given) or (tool.guard is None and tool.server is None and not is_watched):
            return Verdict("allow")
        else:
            verdict = Verdict("ask")
        if self.mode == "dontAsk":
            text = f"Permission to use {tool.name} has been denied, because the permission mode is dontAsk."
            return Verdict("deny", text, "mode")
        return verdict

    def suggestions(self, tool: EngineTool, given: dict[str, Any]) -> list[dict[str, Any]]:
        """Updates that would have made the question unnecessary."""
        rule = {"toolName": tool.name}
        guard = tool.guard
        if guard is not None and guard.command and (command := given.get(guard.command)):
            rule["ruleContent"] = str(command)
        add: dict[str, Any] = {"type": "addRules", "rules": [rule], "behavior": "allow", "destination": "session"}
        if guard is None or guard.kind != "edit":
            return [add]
        offered: list[dict[str, Any]] = [{"type": "setMode", "mode": "acceptEdits", "destination": "session"}]
        path = self._path(tool, given)
        if path is not None and not self._is_inside(path):
            folder = os.path.dirname(path)  # noqa: PTH120 - names only
            offered.insert(0, {"type": "addDirectories", "directories": [folder], "destination": "session"})
        return offered

    def blocked_path(self, tool: EngineTool, given: dict[str, Any]) -> str | None:
        """The file that a call is about, if it is about one."""
        return self._path(tool, given) if tool.guard is not None and tool.guard.path else None

    def update(self, updates: Any) -> bool:
        """Apply changes of rules, folders and mode; all of them, or none when one is malformed.

        They hold for this connection, whatever their destination: this agent has no settings files.
        """
        try:
            read = msgspec.convert({"updates": updates}, _Updates).updates
        except msgspec.ValidationError:
            return False
        if any(update.type == "setMode" and update.mode not in PERMISSION_MODES for update in read):
            return False
        for update in read:
            self._apply(update)
        return True

    def _apply(self, update: PermissionUpdate) -> None:
        rules = tuple(Rule(each.tool_name, each.rule_content) for each in update.rules or ())
        behavior = update.behavior or "allow"
        kept = self._rules[behavior]
        match update.type:
            case "addRules":
                self._have(behavior, (*kept, *(rule for rule in rules if rule not in kept)))
            case "replaceRules":
                self._have(behavior, rules)
            case "removeRules":
                self._have(behavior, tuple(rule for rule in kept if rule not in rules))
            case "setMode":
                self.mode = update.mode or self.mode
            case "addDirectories":
                self._directories += tuple(update.directories or ())
            case "removeDirectories":
                removed = update.directories or ()
                self._directories = tuple(each for each in self._directories if each not in removed)

    def _have(self, behavior: str, rules: tuple[Rule, ...]) -> None:
        self._rules = {**self._rules, behavior: rules}

    def _says(self, behavior: str, tool: EngineTool, given: dict[str, Any]) -> bool:
        rules = [rule for rule in self._rules[behavior] if _covers(rule.tool, tool)]
        return any(rule.content is None for rule in rules) or (
            bool(rules) and self._fits([rule.content or "" for rule in rules], behavior, tool, given)
        )

    def _fits(self, contents: list[str], behavior: str, tool: EngineTool, given: dict[str, Any]) -> bool:
        """Whether the call is one that these contents name."""
        guard = tool.guard
        if guard is None:
            return False
        if guard.command:
            return _fits_command(contents, str(given.get(guard.command, "")), is_strict=behavior == "allow")
        path = self._path(tool, given)
        return path is not None and any(self._fits_path(content, path) for content in contents)

    def _fits_path(self, content: str, path: str) -> bool:
        pattern = content[1:] if content.startswith("//") else os.path.expanduser(content)  # noqa: PTH111 - a pattern
        if not os.path.isabs(pattern):  # noqa: PTH117
            pattern = os.path.join(self._cwd, pattern.removeprefix("./"))  # noqa: PTH118
        return fnmatchcase(path, pattern) or (pattern.endswith("/**") and path == pattern[:-3])

    def _is_open(self, tool: EngineTool, given: dict[str, Any]) -> bool:
        """Whether the folders and the mode let it run."""
        guard = tool.guard
        if guard is None or guard.kind == "run" or (guard.kind == "edit" and self.mode != "acceptEdits"):
            return False
        path = self._path(tool, given)
        return path is not None and self._is_inside(path)

    def _path(self, tool: EngineTool, given: dict[str, Any]) -> str | None:
        """The real path that a call is about: the working directory, where it names none."""
        if tool.guard is None:
            return None
        named = given.get(tool.guard.path or "")
        if named is not None and not isinstance(named, str):
            return None
        return real_path(self._cwd, named or "")

    def _is_inside(self, path: str) -> bool:
        folders = [real for folder in self._directories if (real := real_path(self._cwd, folder))]
        return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


@lru_cache(maxsize=64)  # alike for nearly all connections, and never changed
def _read_rules(allowed: tuple[str, ...], disallowed: tuple[str, ...]) -> dict[str, tuple[Rule, ...]]:
    """The rules to begin with, by behavior."""
    return {
        "allow": tuple(rule for text in allowed if (rule := parse_rule(text))),
        "deny": tuple(rule for text in disallowed if (rule := parse_rule(text))),
        "ask": (),
    }


def real_path(cwd: str, path: str) -> str | None:
    """The file that a path names behind all links; None for what no file system takes, such as a NUL."""
    try:
        return os.path.realpath(os.path.join(cwd, os.path.expanduser(path)))  # noqa: PTH111, PTH118
    except ValueError:
        return None


def _names(rule: str, name: str) -> bool:
    """Whether a rule's tool is this one, or its MCP server."""
    if rule == name:
        return True
    server = rule.removesuffix("__*")
    return server.startswith("mcp__") and "__" not in server[5:] and name.startswith(server + "__")


def _covers(rule: str, tool: EngineTool) -> bool:
    family = _FAMILIES.get(rule)
    return _names(rule, tool.name) or (family is not None and tool.guard is not None and tool.guard.kind == family)


def _fits_command(contents: list[str], command: str, *, is_strict: bool) -> bool:
    """Whether rules name a command. To allow, every part of it must be named; to deny, one part is enough."""
    if command in contents:
        return True
    if is_strict and _TRICKS.search(command):
        return False
    parts = [part.strip() for part in _SEPARATORS.split(command) if part.strip()]
    named = [any(_fits_words(content, part) for content in contents) for part in parts]
    return bool(named) and (all(named) if is_strict else any(named))


def _fits_words(content: str, part: str) -> bool:
    if content.endswith(":*"):
        words = content[:-2]
        return part == words or part.startswith(words + " ")
    return part == content or ("*" in content and fnmatchcase(part, content))
