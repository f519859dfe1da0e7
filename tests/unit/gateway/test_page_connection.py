"""How the page stays connected, told in its own language."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from tests.support.needs import find_node

STORIES = Path(__file__).with_name("page_connection.mjs")
CONNECTION = resources.files("triologue.gateway") / "page" / "connection.js"


@pytest.mark.node
def test_the_page_stays_connected(tmp_path: Path) -> None:
    module = tmp_path / "connection.mjs"  # by its name only Node.js knows one
    module.write_bytes(CONNECTION.read_bytes())
    argv = [str(find_node()), str(STORIES), str(module)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
