"""Programs with `qoder_agent_sdk`, as it is on PyPI, on our agent."""

import tempfile
from pathlib import Path

import pytest

from tests.foreign.table import GROUPS, Place, load_suite, run_group, run_on
from tests.support.standin_program import agent_program, clean_environment

QUICK = ("Conversations",)
LEAVES = pytest.mark.filterwarnings("ignore::ResourceWarning")  # pipes, to the garbage collector


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the SDK puts the token for the agent."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@LEAVES
@pytest.mark.parametrize(
    "group", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GROUPS]
)
def test_it_works_on_our_agent(group: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch, tmp_path, QODER_SKIP_VERSION_CHECK="1")
    run_group("qoder_agent_sdk", "asyncio", group, agent_program(tmp_path), tmp_path)
    assert list(temporary.iterdir()) == []


@LEAVES
@pytest.mark.slow
def test_histories_are_found_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    clean_environment(monkeypatch, tmp_path, QODER_SKIP_VERSION_CHECK="1", QODER_CONFIG_DIR=str(config))
    run_group("qoder_agent_sdk", "asyncio", "Histories", agent_program(tmp_path), tmp_path)
    assert list(config.glob("projects/*/*.jsonl")) != []
    assert not (tmp_path / ".qoder").exists()


@LEAVES
def test_its_version_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_suite("qoder_agent_sdk")
    from tests.foreign.alike_turns import one_shot
    from tests.foreign.qoder_turns import SDK

    clean_environment(monkeypatch, tmp_path)
    place = Place(agent=agent_program(tmp_path), cwd=tmp_path)
    run_on("asyncio", lambda: one_shot(SDK, place))
    assert caplog.messages == []
