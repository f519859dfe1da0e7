"""`Options.memory` and `Options.evolution` as the Qoder CLI reads them: checked, renamed, callbacks by their ids."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from triologue.errors import InvalidOption, brief
from triologue.hosting.gates import EVOLUTION_GATE, MEMORY_GATE

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes what a value is called and the value; gives what is sent."""


def memory_config(memory: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `memory` of `initialize`; None where nothing is asked for.

    Raises:
        InvalidOption: something in it cannot be.
    """
    if not memory:
        return None
    mode = _choice("native", "custom")("memory['mode']", memory.get("mode"))
    sections = _NATIVE_MEMORY if mode == "native" else _CUSTOM_MEMORY
    config: dict[str, Any] = {"requester": "sdk", **_fields(sections)("memory", memory)}
    if mode == "native" and config.get("projectScope") is False and config.get("userScope") is False:
        raise InvalidOption("memory: native memory needs a scope; give memory={} for none")
    generation = config.get("generation", {})
    if generation.get("enabled") is False and generation.get("turnComplete", {}).get("enabled"):
        raise InvalidOption("memory['generation']: turn_complete cannot be enabled where generation is not")
    return config


def evolution_config(evolution: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `evolution` of `initialize`; None where nothing is asked for. Raises as `memory_config`."""
    if not evolution:
        return None
    skill = _fields({"skill": ("skill", _skill)})("evolution", evolution).get("skill")
    return None if skill is None else {"skill": {"requester": "sdk", **skill}}


def _skill(what: str, skill: Any) -> dict[str, Any] | None:
    if not isinstance(skill, Mapping):
        raise InvalidOption(f"{what}={brief(skill)} is no dict")
    generation = skill.get("generation") or {}
    if isinstance(generation, Mapping) and generation.get("enabled") is False:
        _fields(_CUSTOM_EVOLUTION)(what, {"mode": "custom", **skill})
        return None
    mode = skill.get("mode", "native")
    fields = _fields(_NATIVE_EVOLUTION if mode == "native" else _CUSTOM_EVOLUTION)
    sent: dict[str, Any] = fields(what, {"mode": mode, **skill})
    if not sent.get("generation"):  # all that it says stays here
        sent.pop("generation", None)
    return sent


def _fields(known: Mapping[str, tuple[str, Check]], defaults: Mapping[str, Any] | None = None) -> Check:
    """A dict with these fields: their names on the wire, or "" for what stays here; and what each has to be."""

    def check(what: str, given: Any) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise InvalidOption(f"{what}={brief(given)} is no dict")
        sent = dict(defaults or {})
        for name, value in given.items():
            if name not in known:
                raise InvalidOption(f"{what}: {brief(name)} is none of {', '.join(known) or 'nothing'}")
            if value is not None:
                wire, field = known[name]
                checked = field(f"{what}[{name!r}]", value)
                if wire:
                    sent[wire] = checked
        return sent

    return check


def _choice(*choices: str) -> Check:
    def check(what: str, value: Any) -> Any:
        if value not in choices:
            raise InvalidOption(f"{what}={brief(value)} is none of {', '.join(choices)}")
        return value

    return check


def _bool(what: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise InvalidOption(f"{what}={brief(value)} is no bool")
    return value


def _text(what: str, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise InvalidOption(f"{what}={brief(value)} is no text")
    return value


def _above_0(highest: float | None = None, *, whole: bool = True) -> Check:
    def check(what: str, value: Any) -> Any:
        kinds: Any = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= (highest or float(1 << 53)):
            until = f" and at most {highest}" if highest else ""
            raise InvalidOption(f"{what}={brief(value)} is no {'whole ' if whole else ''}number above 0{until}")
        return value

    return check


def _callback(callback_id: str) -> Check:
    def check(what: str, value: Any) -> Any:
        if not callable(value):
            raise InvalidOption(f"{what} is no function")
        return callback_id

    return check


def _function(what: str, value: Any) -> Any:
    if not callable(value):
        raise InvalidOption(f"{what} is no function")
    return value


def _path_inside(what: str, value: Any) -> Any:
    path = PurePosixPath(_text(what, value).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise InvalidOption(f"{what}={brief(value)} leaves its root")
    return value


def _list_of(entry: Check) -> Check:
    def check(what: str, values: Any) -> Any:
        if not isinstance(values, list) or not values:
            raise InvalidOption(f"{what}={brief(values)} is no list with something in it")
        sent = [entry(f"{what}[{index}]", value) for index, value in enumerate(values)]
        for index, one in enumerate(sent):
            if not {"id", "path"} <= one.keys():
                raise InvalidOption(f"{what}[{index}] needs an id and a path")
        if len({one["id"] for one in sent}) < len(sent):
            raise InvalidOption(f"{what}: an id is there twice")
        return sent

    return check


_ON_RESULT = {"on_result": ("", _function)}
_GATE = {
    "enabled": ("enabled", _bool),
    "on_gate_error": ("onGateError", _choice("skip", "report_failed")),
}
_ROOT = {
    "id": ("id", _text),
    "path": ("path", _text),
    "access": ("access", _choice("read", "read-write")),
    "index_file": ("indexFile", _path_inside),
}
_FILE = {"id": ("id", _text), "path": ("path", _text), "required": ("required", _bool)}
_AFTER_A_TURN = {
    **_GATE,
    "should_generate": ("shouldGenerateCallbackId", _callback(MEMORY_GATE)),
    "timeout_ms": ("timeoutMs", _above_0(whole=False)),
}
_GENERATION = {
    **_ON_RESULT,
    "enabled": ("enabled", _bool),
    "roots": ("roots", _list_of(_fields(_ROOT))),
    "prompt": ("prompt", _text),
    "turn_complete": ("turnComplete", _fields(_AFTER_A_TURN, {"enabled": True})),
}
_CONSUMPTION = {
    **_ON_RESULT,
    "enabled": ("enabled", _bool),
    "files": ("files", _list_of(_fields(_FILE, {"required": False}))),
    "max_tokens": ("maxTokens", _above_0()),
    "overflow": ("overflow", _choice("truncate", "fail_query")),
    "failure_mode": ("failureMode", _choice("best_effort", "fail_query")),
}
_MEMORY = {
    "mode": ("mode", _choice("native", "custom")),
    "project_scope": ("projectScope", _bool),
    "user_scope": ("userScope", _bool),
}
_NATIVE_MEMORY = {**_MEMORY, "generation": ("", _fields(_ON_RESULT)), "consumption": ("", _fields(_ON_RESULT))}
_CUSTOM_MEMORY = {
    **_MEMORY,
    "generation": ("generation", _fields(_GENERATION, {"enabled": True})),
    "consumption": ("consumption", _fields(_CONSUMPTION, {"enabled": True})),
}
_REVIEW = {
    **_GATE,
    "review_threshold": ("reviewThreshold", _above_0(10)),
    "should_review": ("shouldReviewCallbackId", _callback(EVOLUTION_GATE)),
    "timeout_ms": ("timeoutMs", _above_0()),
}
_SUGGESTIONS = {
    **_ON_RESULT,
    "enabled": ("enabled", _bool),
    "prompt": ("prompt", _text),
    "max_suggestions": ("maxSuggestions", _above_0(10)),
    "turn_complete": ("turnComplete", _fields(_REVIEW, {"enabled": True})),
}
_NATIVE_REVIEW = {
    **_ON_RESULT,
    "enabled": ("", _bool),
    "turn_complete": ("turnComplete", _fields({"review_threshold": _REVIEW["review_threshold"]})),
}
_NATIVE_EVOLUTION = {"mode": ("mode", _choice("native")), "generation": ("generation", _fields(_NATIVE_REVIEW))}
_CUSTOM_EVOLUTION = {
    "mode": ("mode", _choice("native", "custom")),
    "generation": ("generation", _fields(_SUGGESTIONS, {"enabled": True, "maxSuggestions": 3})),
}
