"""What a config folder that was made for one conversation has of the user's own: how to log in, and what is set there.

It is copied or linked for the time in which the agent runs, and never goes into a store.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triologue.agents.own_folders import write_own
from triologue.engine.histories import CLAUDE, QODER
from triologue.engine.histories.folders import home_folder

logger = logging.getLogger(__name__)

LINKED = ("CLAUDE.md", "agents", "commands", "output-styles", "rules", "skills")
"""What people put into Claude Code's config folder, and the program only reads."""


def borrow_claude(env: Mapping[str, str], cwd: str, folder: Path) -> None:
    """As the vendor's SDK does it, and what people wrote for all their conversations besides.

    The token with which others are got stays away: it is good for once, and what came of it would be lost with the
    folder. Plugins stay away because they would be fetched again for each conversation.
    """
    own = CLAUDE.config_in(env, cwd)
    _copy(own / ".credentials.json", folder, _without_refresh)
    # It is in the config folder where one is named, and beside the usual one; there too where the name is empty.
    _copy((own if env.get(CLAUDE.variable) else home_folder(env)) / ".claude.json", folder)
    for name in ("settings.json", "cowork_settings.json"):
        _copy(own / name, folder, _without_plugins)
    for name in LINKED:
        if (own / name).exists():
            (folder / name).symlink_to((own / name).absolute())


def borrow_qoder(env: Mapping[str, str], cwd: str, folder: Path) -> None:
    """The account of `qodercli login`, as the vendor's SDK does it."""
    own = QODER.config_in(env, cwd)
    _copy(own / "oauth_creds.json", folder)
    if (own / ".auth").is_dir():
        shutil.copytree(own / ".auth", folder / ".auth")


def _copy(source: Path, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Copy a file that may not be there. What is no JSON object is not for us to change."""
    if not source.is_file():
        return
    try:
        content = source.read_bytes()
    except OSError as error:
        logger.warning("a restored conversation does without %r: %s", str(source), error.strerror)
        return
    if change is not None:
        try:
            parsed = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            change(parsed)
            content = json.dumps(parsed).encode()
    write_own(folder / source.name, content)


def _without_refresh(credentials: dict[str, Any]) -> None:
    if isinstance(account := credentials.get("claudeAiOauth"), dict):
        account.pop("refreshToken", None)


def _without_plugins(settings: dict[str, Any]) -> None:
    for name in ("enabledPlugins", "extraKnownMarketplaces"):
        settings.pop(name, None)
    if isinstance(variables := settings.get("env"), dict):
        variables.pop(CLAUDE.variable, None)
