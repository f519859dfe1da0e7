"""How the page stays connected, and what it shows where a session cannot be read, told in its own language."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from tests.support.needs import find_node

PAGE = resources.files("triologue.gateway") / "page"


@pytest.mark.node
@pytest.mark.parametrize(("stories", "module"), [("page_connection.mjs", "connection.mjs"), ("page.mjs", "")])
def test_the_page(stories: str, module: str, tmp_path: Path) -> None:
    for script in PAGE.iterdir():  # by its name only Node.js knows a module
        if script.name.endswith(".js"):
            text = script.read_text(encoding="utf-8").replace('.js";', '.mjs";')
            (tmp_path / script.name.replace(".js", ".mjs")).write_text(text, encoding="utf-8")
    argv = [str(find_node()), str(Path(__file__).with_name(stories)), str(tmp_path / module)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
