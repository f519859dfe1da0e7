"""`Options.settings`: a file, JSON text or a dict; and its content, where something has to be added to it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triologue.errors import InvalidOption, brief


def settings_file(settings: object) -> Path | None:
    """The file that is named; None where the content itself is given, or nothing."""
    if isinstance(settings, str) and not settings.strip().startswith("{"):
        if not settings.strip():
            raise InvalidOption(f"settings={brief(settings)} is no text; leave it out for the default")
        return Path(settings)
    return Path(settings) if isinstance(settings, os.PathLike) else None


def given_settings(settings: object) -> dict[str, Any]:
    """The content that is given, as a copy; `{}` for a file. Raises `InvalidOption`, which never shows it."""
    if isinstance(settings, Mapping):
        return dict(settings)
    if isinstance(settings, str) and settings_file(settings) is None:
        return _parsed(settings, "settings")
    return {}


def read_settings(path: Path, cwd: str) -> dict[str, Any]:
    """The content of a settings file, named from the folder that the agent starts in. Asks the file system.

    Raises:
        InvalidOption: it cannot be read, or is no JSON object.
    """
    try:
        content = Path(cwd, path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidOption(f"settings={str(path)!r} cannot be read: {error}") from None
    return _parsed(content, f"the settings in {str(path)!r}")


def _parsed(content: str, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise InvalidOption(f"{what} cannot be read as JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidOption(f"{what}: a JSON object is meant")
    return parsed
