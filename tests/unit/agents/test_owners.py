"""Whose host is known to be dead."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from triologue.agents import is_dead, marks, new_owner
from triologue.agents.marks import pid_space

On = Callable[[str], None]


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> On:
    """Go to a machine without /proc, by its name. No process of the others runs there."""
    ps = tmp_path / "ps"
    ps.write_text("#!/bin/sh\nexit 1\n")
    ps.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(marks, "HAS_PROC", False)
    return lambda name: monkeypatch.setattr(socket, "gethostname", lambda: name)


def test_a_host_of_this_process_lives() -> None:
    assert not is_dead(new_owner())


def test_only_on_its_own_machine_a_host_is_known_to_be_dead(on: On) -> None:
    """Two Macs share a store: a pid of one of them means nothing on the other."""
    on("mac-a")
    owner = f"bot.py on mac-a, pid 4711 [Fri Nov 27 00:38:43 2026@{pid_space()}#0badcafe]"
    assert is_dead(owner)
    on("mac-b")
    assert not is_dead(owner)
    on("mac-a")
    assert is_dead(owner)


def test_machines_of_one_name_are_told_apart(on: On, monkeypatch: pytest.MonkeyPatch) -> None:
    on("mac")
    monkeypatch.setattr("uuid.getnode", lambda: 1)
    owner = f"bot.py on mac, pid 4711 [Fri Nov 27 00:38:43 2026@{pid_space()}#0badcafe]"
    assert is_dead(owner)
    monkeypatch.setattr("uuid.getnode", lambda: 2)
    assert not is_dead(owner)
