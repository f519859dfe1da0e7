"""Programs with `claude_agent_sdk`, as it is on PyPI, on our agent, on both of its event loops."""

from pathlib import Path

import pytest

from tests.foreign.table import GROUPS, run_group
from tests.support.standin_program import agent_program, clean_environment

QUICK = {"asyncio": ("Tools of the host",), "trio": ("Conversations",)}
CASES = [
    pytest.param(loop, group, marks=() if group in QUICK[loop] else pytest.mark.slow)
    for loop in QUICK
    for group in GROUPS
]


# The SDK leaves async generators and pipes to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("loop", "group"), CASES)
def test_it_works_on_our_agent(loop: str, group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch, tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "config"))
    run_group("claude_agent_sdk", loop, group, agent_program(tmp_path), tmp_path)
