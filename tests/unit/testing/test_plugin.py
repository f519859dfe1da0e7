"""The kit is light: it imports neither pytest nor hypothesis, and its fixtures are there for who asks for them."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import trio

import triologue as tri
from triologue.testing import ScriptedAgent, Wait

pytest_plugins = ["triologue.testing.plugin"]

TESTS = """
import trio
pytest_plugins = ["triologue.testing.plugin"]

async def test_hours_pass(virtual_manager, scripted_agent):
    assert (await virtual_manager.session("k").ask("hello")).result == "hello"
    await trio.sleep(3600)
    assert trio.current_time() == 3600
"""


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("triologue.testing", ("pytest", "hypothesis", "importlib.metadata")),
        ("triologue.testing.plugin", ("hypothesis",)),
    ],
)
def test_what_it_imports(module: str, absent: tuple[str, ...]) -> None:
    program = f"import sys, {module}; sys.exit(' '.join({set(absent)!r} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_nobody_gets_its_fixtures_unasked() -> None:
    assert [each.value for each in entry_points(group="pytest11") if "triologue" in each.value] == []


STORE_TESTS = """
from contextlib import asynccontextmanager
from triologue import MemoryStore
from triologue.testing import SessionStoreContract

class Forgetful:
    def __init__(self):
        self.store = MemoryStore()

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def holders(self, keys):
        return {}

class TestForgetful(SessionStoreContract):
    is_durable = False

    @asynccontextmanager
    async def open_store(self, place):
        yield Forgetful()
"""


def run_tests(folder: Path, *more: str, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(tests, "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, *more, folder],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_tests_need_neither_marks_nor_settings(tmp_path: Path) -> None:
    done = run_tests(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_what_runs_them_is_named_where_it_is_missing(tmp_path: Path) -> None:
    done = run_tests(tmp_path, "-p", "no:trio")
    told = "test_mine.py::test_hours_pass asks for virtual_manager, which needs pytest-trio: pip install 'triologue[testing]'"
    assert (done.returncode, done.stderr.strip()) == (pytest.ExitCode.USAGE_ERROR, f"ERROR: {told}")


def test_the_contract_of_stores_shows_what_a_store_gave(tmp_path: Path) -> None:
    done = run_tests(tmp_path, "-o", "trio_mode=true", "-k", "one_at_a_time", tests=STORE_TESTS)
    assert "AssertionError: assert {} == {'k': 'me', 'another': 'you'}" in done.stdout, done.stdout


@pytest.fixture
def manager_options() -> dict[str, object]:
    return {"deadlines": tri.Deadlines(turn=60)}


async def test_a_manager_on_a_virtual_clock(virtual_manager: tri.SessionManager, scripted_agent: ScriptedAgent) -> None:
    scripted_agent.on("work", Wait(59))
    await virtual_manager.session("k").ask("work")
    assert trio.current_time() == 59


async def test_its_manager_takes_options(virtual_manager: tri.SessionManager, scripted_agent: ScriptedAgent) -> None:
    scripted_agent.on("work", Wait(61))
    with pytest.raises(tri.TurnFailed) as raised:
        await virtual_manager.session("k").ask("work")
    assert isinstance(raised.value.__cause__, tri.TurnTimeout)
