"""`docs/reference/control.md` says which agent answers which request: what the tables in the code say."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.unit.manager.control_calls import CALLS
from triologue.agents import claude_requests, cortex_requests, embedded_requests, qoder_requests
from triologue.messages import Interrupt, Request, SetMaxThinkingTokens, SetModel, SetPermissionMode

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "control.md"
AGENTS = {
    "Claude Code": claude_requests.REQUESTS,
    "Qoder": qoder_requests.REQUESTS,
    "Cortex Code": cortex_requests.REQUESTS,
    "built-in": embedded_requests.REQUESTS,
}
REQUESTS: dict[str, type[Request]] = {
    "interrupt()": Interrupt,
    "set_model()": SetModel,
    "set_permission_mode()": SetPermissionMode,
    **{f"{name}()": type(request) for name, (_, request) in CALLS.items()},
    "control(SetMaxThinkingTokens(...))": SetMaxThinkingTokens,
}


def cell(table: Mapping[type[Request], str | None], request: type[Request]) -> str:
    if request not in table:
        return "no"
    capability = table[request]
    return "yes" if capability is None else f"with `{capability}`"


def rows() -> list[list[str]]:
    head = ["Method", "Request", *AGENTS]
    body = [
        [f"`{method}`", f"`{request.__struct_config__.tag}`", *(cell(table, request) for table in AGENTS.values())]
        for method, request in REQUESTS.items()
    ]
    return [head, ["---"] * len(head), *body]


def test_the_page_shows_the_tables() -> None:
    shown = re.findall(r"^\|.*\|$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert shown == [f"| {' | '.join(row)} |" for row in rows()]


def test_whatever_an_agent_answers_has_a_method() -> None:
    answered = {request for table in AGENTS.values() for request in table}
    assert answered == set(REQUESTS.values())
