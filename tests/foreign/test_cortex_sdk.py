"""Programs with `cortex_code_agent_sdk`, as it is on PyPI, on our agent."""

from pathlib import Path

import pytest

from tests.foreign.table import GROUPS, Place, load_suite, run_group, run_on
from tests.support.standin_program import agent_program, clean_environment

QUICK = ("Permissions",)
LEAVES = pytest.mark.filterwarnings("ignore::ResourceWarning")  # pipes, to the garbage collector


@LEAVES
@pytest.mark.parametrize(
    "group", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GROUPS]
)
def test_it_works_on_our_agent(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch, tmp_path, CORTEX_CODE_AGENT_SDK_SKIP_VERSION_CHECK="1")
    run_group("cortex_code_agent_sdk", "asyncio", group, agent_program(tmp_path), tmp_path)


@LEAVES
def test_its_version_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_suite("cortex_code_agent_sdk")
    from tests.foreign.alike_turns import one_shot
    from tests.foreign.cortex_turns import SDK

    clean_environment(monkeypatch, tmp_path)
    place = Place(agent=agent_program(tmp_path), cwd=tmp_path)
    run_on("asyncio", lambda: one_shot(SDK, place))
