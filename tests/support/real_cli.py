"""A place of its own for real agents: folders, a stubbed model, and an environment that inherits nothing."""

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tests.support.messages_api import MessagesApi, open_messages_api
from tests.support.processes import MARKER, kill_all_with, wait_none_with
from triologue.agents.runtime import VARIABLE

CLAUDE_VARIABLE = "TRIOLOGUE_TEST_CLAUDE"


def find_claude() -> Path | None:
    """The Claude Code CLI: `$TRIOLOGUE_TEST_CLAUDE` whatever it names, else the one inside an installed claude_agent_sdk."""
    if chosen := os.environ.get(CLAUDE_VARIABLE):
        return Path(chosen)
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "_bundled" / "claude"
    return bundled if bundled.is_file() else None


def clean_env(home: Path, api_url: str, *, marker: str | None = None) -> dict[str, str]:
    """The whole environment of an agent: nothing is inherited, and nothing but `api_url` is reached.

    `home` gets a `tmp` folder inside; its path must be short, because unix sockets are put there.
    """
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "CLAUDE_CODE_TMPDIR": str(temporary),
        VARIABLE: str(home / "run"),  # for hosts that are started in such a place
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "ANTHROPIC_API_KEY": "dummy",
        "ANTHROPIC_BASE_URL": api_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        # Whatever still wants to go elsewhere arrives at the stub, which refuses and records it.
        "HTTP_PROXY": api_url,
        "HTTPS_PROXY": api_url,
        "NO_PROXY": "127.0.0.1,localhost",
        # Without it Claude Code refuses `bypassPermissions` to root, and CI often is root.
        "IS_SANDBOX": "1",
    }
    return environment if marker is None else {**environment, MARKER: marker}


@final
@dataclass(frozen=True)
class CleanPlace:
    """Where the agents of one test live; made by `open_clean_place`."""

    api: MessagesApi
    home: Path
    cwd: Path
    """An empty folder to work in."""
    env: dict[str, str]
    marker: str
    """What `processes_with` finds the agents and their descendants by."""


@asynccontextmanager
async def open_clean_place() -> AsyncGenerator[CleanPlace]:
    """A stub, a home, a folder to work in, and the environment that ties them together.

    Leaving the block waits until no process of this place is alive; raises AssertionError when one stays, and kills it.
    """
    # Not pytest's tmp_path, whose length leaves no room for the names of sockets.
    root = Path(tempfile.mkdtemp(prefix="tri-")).resolve()
    marker = str(uuid.uuid4())
    try:
        async with open_messages_api() as api:
            home, cwd = root / "home", root / "work"
            cwd.mkdir()
            yield CleanPlace(api, home, cwd, clean_env(home, api.url, marker=marker), marker)
            await wait_none_with(marker)
    finally:
        kill_all_with(marker)
        shutil.rmtree(root, ignore_errors=True)
