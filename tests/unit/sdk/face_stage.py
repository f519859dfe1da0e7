"""The built-in agent as a program, found as the vendors' programs are; and a home of its own for what it writes."""

import json
import sys
from collections.abc import AsyncIterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import triologue
from triologue.sdk import claude, cortex, qoder
from triologue.sdk.vendor.client import VendorClient

SOURCE = Path(triologue.__file__).parent.parent
VARIABLES = ("CLAUDE_CODE_CLI_PATH", "QODERCLI_PATH", "CORTEX_CODE_CLI_PATH")
CONFIG_FOLDERS = ("CLAUDE_CONFIG_DIR", "QODER_CONFIG_DIR", "CORTEX_HOME")

FACES: dict[str, ModuleType] = {"claude": claude, "qoder": qoder, "cortex": cortex}
SDKS = {"claude": "claude_agent_sdk", "qoder": "qoder_agent_sdk", "cortex": "cortex_code_agent_sdk"}
OPTIONS: dict[str, Any] = {
    "claude": claude.ClaudeAgentOptions,
    "qoder": qoder.QoderAgentOptions,
    "cortex": cortex.CortexCodeAgentOptions,
}
CLIENTS: dict[str, Any] = {
    "claude": claude.ClaudeSDKClient,
    "qoder": qoder.QoderSDKClient,
    "cortex": cortex.CortexCodeSDKClient,
}


def set_up(folder: Path, patch: pytest.MonkeyPatch, rules: list[dict[str, Any]] | None = None) -> Path:
    """Make the program known under the variables of all vendors, and give it a home. Returns the folder to work in."""
    program = folder / "agent"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(SOURCE)!r})\n"
        "from triologue.standin.program import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    work = folder / "work"
    work.mkdir()
    patch.setenv("HOME", str(folder))
    for variable in VARIABLES:
        patch.setenv(variable, str(program))
    for variable in CONFIG_FOLDERS:
        patch.delenv(variable, raising=False)
    if rules is not None:
        script = folder / "script.json"
        script.write_text(json.dumps({"rules": rules}))
        patch.setenv("TRIOLOGUE_SCRIPT", str(script))
    return work


def options(vendor: str, **more: Any) -> Any:
    """The vendor's options; Qoder's cannot do without a login."""
    login = {"auth": qoder.qodercli_auth()} if vendor == "qoder" else {}
    return OPTIONS[vendor](**login, **more)


async def read(messages: AsyncIterable[Any]) -> list[Any]:
    return [message async for message in messages]


async def asked(client: VendorClient, prompt: Any) -> str | None:
    """Ask, and read to the result."""
    ask: Any = client
    await ask.query(prompt)
    messages = await read(client.receive_response())
    result: str | None = messages[-1].result
    return result
