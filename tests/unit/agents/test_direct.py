"""The sweep by cookie where there is no /proc, with a `ps` that shows what that of macOS does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.agents.programs import ENV, PATIENCE
from triologue.agents import direct
from triologue.agents.direct import find_by_cookie, sweep_by_cookie
from triologue.agents.warden_process import Seen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-in for ps reads /proc")

PS = """#!/bin/sh
[ "$*" = "-A -E -ww -o pid=,ppid=,stat=,command=" ] || exit 1
read -r _ _ state _ < /proc/{pid}/stat || exit 0
echo "    1     0 Ss   /sbin/launchd"
echo "{pid} {parent} $state    sleep 1000 PATH=/bin TRIOLOGUE_COOKIE=outer:1 token:7 HOME=/"
echo "  999     1 Z    (sleep)"
echo "  998"
"""


def test_what_carries_a_cookie_is_found_by_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "1000"], env=ENV) as sleeper:
        ps = tmp_path / "ps"
        ps.write_text(PS.format(pid=sleeper.pid, parent=os.getpid()))
        ps.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(direct, "HAS_PROC", False)
        seen = Seen(sleeper.pid, os.getpid(), b"")
        assert [find_by_cookie(cookie) for cookie in ("token:7", "outer:", "token:70")] == [[seen], [seen], []]
        assert sweep_by_cookie("token:7", PATIENCE) == []
        assert sleeper.wait() == -signal.SIGKILL


def test_a_sweep_without_patience_only_looks() -> None:
    cookie = f"direct{os.getpid()}:1"
    with subprocess.Popen(["sleep", "1000"], env={**ENV, "TRIOLOGUE_COOKIE": cookie}) as sleeper:
        assert sweep_by_cookie(cookie, 0) == [sleeper.pid]
        assert sleeper.poll() is None
        sleeper.kill()
