"""The built-in agent as one file that a vendor's SDK can execute, and the environment in which it does."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import triologue

SOURCE = Path(triologue.__file__).parent.parent

_WRAPPER = """\
#!{python}
import sys

sys.path.insert(0, {source!r})

from triologue.standin import main

sys.exit(main())
"""


def agent_program(folder: Path) -> Path:
    """The installed `triologue-agent`, else a script in `folder` that does the same."""
    installed = Path(sys.executable).parent / "triologue-agent"
    if installed.exists():
        return installed
    script = folder / "triologue-agent"
    script.write_text(_WRAPPER.format(python=sys.executable, source=str(SOURCE)), "utf-8")
    script.chmod(0o755)
    return script


def write_script(folder: Path, *rules: dict[str, Any]) -> Path:
    """A file of replies for a `ScriptedModel`."""
    path = folder / "replies.json"
    path.write_text(json.dumps({"rules": rules}), "utf-8")
    return path


def clean_environment(patch: pytest.MonkeyPatch, home: Path, **variables: str) -> None:
    """Have nothing in the environment but a home, a path and these; SDKs hand all of theirs to the agent."""
    for name in os.environ:
        if not name.startswith(("COVERAGE", "PYTEST")):
            patch.delenv(name)
    for name, value in {"HOME": str(home), "PATH": os.defpath, **variables}.items():
        patch.setenv(name, value)
