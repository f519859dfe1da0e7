"""What processes weigh: whole trees, in one look, and nothing for those that are gone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from triologue.agents import memory_use
from triologue.agents.memory_use import measure_trees

MIB = 2**20
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""
CHILD = "import sys; held = bytearray(b'x') * (40 << 20); print(flush=True); sys.stdin.read()"
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")


@contextmanager
def family() -> Iterator[tuple[int, int]]:
    """A small process with a child that holds 40 MiB: the pids of both."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())


@linux
def test_a_tree_weighs_what_all_its_processes_do_and_what_is_gone_weighs_nothing() -> None:
    with family() as (parent, child):
        sizes = measure_trees([parent, child, parent])
        assert sizes is not None
        assert list(sizes) == [parent, child]
        assert 40 * MIB < sizes[child] < sizes[parent] < 80 * MIB
    assert measure_trees([parent, child]) == {}


@linux
def test_what_we_may_not_look_into_weighs_its_resident_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    # Pids that no process can have, so that none has children.
    for pid, files in {
        "50000010": {"statm": "900 30 20 1 0 5 0\n"},
        "50000011": {
            "statm": "900 30 20 1 0 5 0\n",
            "smaps_rollup": "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\n",
        },
        "50000012": {"statm": "900 30 20 1 0 5 0\n", "smaps_rollup": "Rss:  120 kB\nPss:  70 kB\nPss_Dirty:  9 kB\n"},
        "50000013": {"statm": "0 0 0 0 0 0 0\n", "smaps_rollup": ""},
    }.items():
        (tmp_path / pid).mkdir()
        for name, text in files.items():
            (tmp_path / pid / name).write_text(text)
    monkeypatch.setattr(memory_use, "PROC", tmp_path)
    assert measure_trees(range(50000010, 50000015)) == {
        50000010: 30 * page,
        50000011: 30 * page,
        50000012: 70 * 1024,
    }


def test_where_there_is_no_proc_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert measure_trees([os.getpid()]) is None
