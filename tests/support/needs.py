"""What some tests need and a machine may lack: they skip with the reason there, and fail in CI, which installs it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.real_cli import find_claude


def find_browser() -> Path | None:
    """A Chromium that can be driven headless."""
    return _on_path("chromium", "chromium-browser", "google-chrome") if find_driver() else None


def find_driver() -> Path | None:
    """What drives it."""
    return _on_path("chromedriver")


def find_node() -> Path | None:
    """A Node.js that has a WebSocket of its own, from version 20 on behind a flag."""
    node = _on_path("node", "nodejs")
    if node is None:
        return None
    argv = [str(node), "--experimental-websocket", "--eval", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    return node if subprocess.run(argv, capture_output=True, check=False).returncode == 0 else None


def _on_path(*names: str) -> Path | None:
    found = next(filter(None, map(shutil.which, names)), None)
    return Path(found) if found else None


NEEDS: dict[str, tuple[Callable[[], Path | None], str]] = {
    "real_cli": (find_claude, "the Claude Code CLI is not installed (`pip install claude-agent-sdk` brings one)"),
    "browser": (find_browser, "Chromium and its driver are not installed"),
    "node": (find_node, "no Node.js with a WebSocket of its own is installed"),
}
"""Marker -> where to look, and what to say when nothing is there."""


def give_up(reason: str) -> NoReturn:
    """Skip the test; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must install it", pytrace=False)
    pytest.skip(reason)
