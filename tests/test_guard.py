"""The guard that every test runs under sees what it is there to see."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from tests.support.leftovers import Belongings, descendants, is_alive, run_to_the_last_task

ROOT = Path(__file__).parents[1]

needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")

ORPHAN_IN_ITS_OWN_SESSION = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=0, stdout=subprocess.DEVNULL, start_new_session=True)
print(child.pid)
"""


@needs_proc
def test_it_sees_an_orphan_in_a_session_of_its_own() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN_IN_ITS_OWN_SESSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.wait()
        assert orphan in descendants()
    # Leaving the block closed the orphan's stdin, at which it ends.
    while is_alive(orphan):
        pass


def test_it_sees_an_open_file_and_a_thread(tmp_path: Path) -> None:
    before = Belongings.now()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="stuck")
    with (tmp_path / "open").open("w") as file:
        thread.start()
        left = Belongings.now().since(before)
        release.set()
        thread.join()
        assert [line.split()[0] for line in left] == ["open", "thread"]
        assert str(file.fileno()) in left[0]
    assert Belongings.now().since(before) == []


def test_it_fails_a_run_that_leaves_a_task() -> None:
    async def main() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="lingering")

    with pytest.raises(AssertionError, match="lingering"):
        run_to_the_last_task(main)


LONG_TEST = """
import time, pytest

@pytest.mark.timeout(60)
def test_that_has_a_time_of_its_own():
    time.sleep(1.2)
"""


@pytest.mark.slow
def test_it_looks_into_no_test_whose_own_time_is_not_over(tmp_path: Path) -> None:
    file = tmp_path / "test_long.py"
    file.write_text(LONG_TEST)
    options = [f"--rootdir={ROOT}", "-p", "tests.conftest", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=1"]
    argv = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", *options, str(file)]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
