"""What is refused before anything starts: options that an agent could not have; what is no agent, key or `seq`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import trio

from triologue.actors import MAX_KEY_LENGTH
from triologue.errors import InvalidOption, brief
from triologue.manager.prompts import check_text
from triologue.options import IDENTITY, Limits, Options, check_kinds, check_options
from triologue.ports import Agent

OptionsFor: TypeAlias = Options | Callable[[str], Options] | None
"""A manager's options, the same for all keys or by the key."""

_WITHOUT_WAITING: Final = ("check", "initialize", "permission_reply", "user_frame", "diagnose")
"""What an agent does at once."""


def check_defaults(agent: Agent, options: OptionsFor, *, asks_people: bool) -> None:
    """Refuse a manager's options that no session of it could have.

    Raises:
        InvalidOption, UnsupportedOption: such options.
    """
    check_agent(agent)
    if options is not None and not callable(options):
        check_kinds(options)
        refuse_identity(options)
        check_for(agent, options, asks_people=asks_people)


def check_for(agent: Agent, options: Options, *, asks_people: bool = False) -> None:
    """Refuse options that this agent could not be started with.

    Args:
        agent: who.
        options: how.
        asks_people: the manager has an `on_permission`, so the agent is to ask before it uses a tool.

    Raises:
        InvalidOption, UnsupportedOption: such options, or no agent.
    """
    check_agent(agent)
    check_options(options)
    event: object = options.abort_event
    if event is not None and not isinstance(event, trio.Event):  # to wait for any other kind would stop the loop
        raise InvalidOption(f"abort_event={brief(event)} is no trio.Event")
    if asks_people and options.can_use_tool is not None:
        raise InvalidOption(
            "the manager's on_permission and Options.can_use_tool would both answer permission requests; "
            "give one of them"
        )
    if asks_people and options.permission_prompt_tool_name is None:
        options = options.copy()
        options.permission_prompt_tool_name = "stdio"
    agent.check(options)


def check_agent(agent: Agent) -> None:
    """Refuse what is no agent.

    Raises:
        InvalidOption: a class, a name, anything else.
    """
    if isinstance(agent, type) or not hasattr(agent, "connect"):
        raise InvalidOption(f"agent={brief(agent)} is no agent; give an object, as in ClaudeCode() or Embedded()")
    # Not by `isinstance`: from Python 3.12 on that does not see what a `__getattr__` passes on to another agent.
    missing = [name for name in vars(Agent) if not name.startswith("_") and not hasattr(agent, name)]
    if missing:
        raise InvalidOption(
            f"agent={brief(agent)} is no agent: it lacks {', '.join(missing)}, see triologue.ports.Agent"
        )
    name: object = agent.name
    if not isinstance(name, str) or not name:  # a store keeps it, and it is in every error
        raise InvalidOption(f"agent={brief(agent)} is no agent: its name is {brief(name)}, and not some text")
    requests: object = agent.requests
    if not isinstance(requests, Mapping):
        raise InvalidOption(
            f"agent={brief(agent)} is no agent: its requests are {brief(requests)}, and not a mapping of types, "
            "as in {Interrupt: None}"
        )
    for method in _WITHOUT_WAITING:
        if inspect.iscoroutinefunction(getattr(agent, method)):
            raise InvalidOption(f"agent={brief(agent)} is no agent: its {method}() is async, and nobody awaits it")
    if inspect.iscoroutinefunction(agent.connect) or inspect.isasyncgenfunction(agent.connect):
        raise InvalidOption(
            f"agent={brief(agent)} is no agent: its connect() gives no async context manager; "
            "@asynccontextmanager makes one of a generator"
        )


def group_of(limits: Limits, key: str) -> str:
    """The group of a key; the empty one where there are no groups.

    Raises:
        InvalidOption: the function gave no str for it, or failed.
    """
    if limits.group is None:
        return ""
    try:
        group: object = limits.group(key)
    except Exception as error:
        raise InvalidOption(f"Limits.group failed for the key {brief(key)}: {error!r}") from error
    if not isinstance(group, str):
        raise InvalidOption(f"Limits.group gave {brief(group)} for the key {brief(key)}, and not the name of a group")
    return group


def check_key(key: str) -> None:
    """Refuse what cannot be a key.

    Raises:
        InvalidOption: it is no str, empty, or too long.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InvalidOption(f"a key is a str of 1 to {MAX_KEY_LENGTH} characters, not {brief(key)}")
    check_text("the key ", key)


def check_seq(after: object) -> None:
    """Refuse what is no place in a log.

    Raises:
        InvalidOption: that is so.
    """
    if not isinstance(after, int) or isinstance(after, bool) or after < 0:
        raise InvalidOption(f"after={brief(after)} is no `seq`, which is a whole number of 0 or more")


def refuse_identity(options: Options) -> None:
    """Refuse options that would make every session of a manager the same conversation.

    Raises:
        InvalidOption: such options.
    """
    if identity := sorted(set(options.named()) & set(IDENTITY)):
        raise InvalidOption(
            f"{' and '.join(identity)} would name one conversation, and a manager has many; "
            "give them to manager.session(key, options=...)"
        )


def check_str(**named: object) -> None:
    """Refuse what is not the text, or None, that it is to be. Raises `InvalidOption`."""
    for name, value in named.items():
        if value is not None and not isinstance(value, str):
            raise InvalidOption(f"{name}={brief(value)} is no str")
