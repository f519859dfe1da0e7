"""Agents that run as another OS user: who that is, and that nothing of theirs escapes."""

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import trio

from tests.unit.agents.programs import ENV, HERD, HERD_SIZE, PATIENCE, Ear, living, prompt, shell
from triologue.agents import ClaudeCode, CortexCode, Embedded, Qoder, access_token
from triologue.agents.accounts import find_account
from triologue.agents.direct import find_by_cookie, sweep_by_cookie
from triologue.agents.process import ProcessCarrier, open_carrier
from triologue.agents.qoder_auth import payload_file
from triologue.agents.warden_process import COOKIE, read_cookies
from triologue.errors import AgentStartError, UnsupportedOption
from triologue.messages import StrayText, UnknownMessage
from triologue.options import Options
from triologue.ports import Account, Command

NOBODY = next((entry for entry in pwd.getpwall() if entry.pw_name == "nobody"), None)
ME = pwd.getpwuid(os.geteuid()).pw_name

as_root = pytest.mark.skipif(os.geteuid() != 0 or NOBODY is None, reason="needs root, and a user `nobody`")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper and /proc")

IDENTITY = "echo $(id -u) $(id -g) $(id -G)"
DROP = """
import ctypes, os, sys
for capability in sys.argv[1].split():
    ctypes.CDLL(None).prctl(24, int(capability), 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
SETGID, SETUID, SYS_PTRACE, SYS_ADMIN, PERFMON = 6, 7, 19, 21, 38


def run_without(*capabilities: int, script: str) -> list[str]:
    """The lines of a Python program of a root that lacks these rights, as in a container."""
    argv = [sys.executable, "-c", DROP, " ".join(map(str, capabilities)), script]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.stderr == ""
    return ran.stdout.splitlines()


@pytest.fixture
def nobody() -> Account:
    account = find_account("nobody")
    assert account is not None
    return account


@pytest.fixture(params=[pytest.param(False, id="warden", marks=on_linux), pytest.param(True, id="direct")])
async def carrier(request: pytest.FixtureRequest) -> AsyncGenerator[ProcessCarrier]:
    async with open_carrier(direct=request.param, grace=0.01) as carrier:
        yield carrier


@as_root
def test_a_user_is_found_by_name_and_by_id(nobody: Account) -> None:
    assert NOBODY is not None
    groups = tuple(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert nobody == Account(name="nobody", uid=NOBODY.pw_uid, gid=NOBODY.pw_gid, groups=groups)
    assert find_account(NOBODY.pw_uid) == nobody


@pytest.mark.parametrize("user", [None, ME, os.geteuid()])
def test_who_is_that_user_already_becomes_nobody_else(user: str | int | None) -> None:
    assert find_account(user) is None


@pytest.mark.parametrize("user", ["no-such-user", 4_000_000_000, 1 << 80])
def test_a_user_that_is_not_there(user: str | int) -> None:
    with pytest.raises(AgentStartError, match=f"user={user!r}: this machine has no such user"):
        find_account(user)


@pytest.mark.skipif(NOBODY is None, reason="needs a user `nobody`")
def test_only_root_becomes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(AgentStartError, match=r"user='nobody': only root may start .* runs as user 12345; run it as"):
        find_account("nobody")


@as_root
@pytest.mark.parametrize("agent", [ClaudeCode(environ=ENV), Qoder(environ=ENV), CortexCode(environ=ENV)])
def test_every_cli_is_told_who_it_runs_as(agent: ClaudeCode | Qoder | CortexCode, nobody: Account) -> None:
    options = Options(cli_path="/bin/sh", user="nobody")
    agent.check(options)
    assert agent.command(options).account == nobody
    assert agent.command(Options(cli_path="/bin/sh")).account is None


def test_the_built_in_agent_has_no_other_user() -> None:
    with pytest.raises(UnsupportedOption, match="it runs in this process, as the user of this process"):
        Embedded().check(Options(user="nobody"))


@as_root
async def test_it_runs_as_that_user_with_no_group_of_ours(carrier: ProcessCarrier, nobody: Account) -> None:
    ear = Ear()
    async with carrier.spawn(shell(f"{IDENTITY}; exec cat", account=nobody), sink=ear) as connection:
        assert await ear.wait_texts(1) == [" ".join(map(str, [nobody.uid, nobody.gid, *nobody.groups]))]
        connection.send(prompt("and speaks to us"))
        assert (await ear.wait_texts(2))[1:] == ["and speaks to us"]


@as_root
async def test_nothing_of_it_is_alive_afterwards(carrier: ProcessCarrier, nobody: Account) -> None:
    ear = Ear()
    script = f"trap : TERM\n{HERD}while :; do sleep 1004; done"
    async with carrier.spawn(shell(script, account=nobody), sink=ear) as connection:
        pids = await ear.wait_pids(HERD_SIZE)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {nobody.uid}
        assert set(pids) <= set(await connection.descendants())
        pids.append(connection.pid or 0)
        # Another one, so that what is found without a cookie is not taken for this one's.
        async with carrier.spawn(shell("exec cat"), sink=Ear()):
            connection.stop(eof=True)
            await connection.close()
            assert living(pids) == []


@as_root
async def test_what_that_user_may_not_execute(carrier: ProcessCarrier, nobody: Account, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with pytest.raises(AgentStartError, match="Permission denied; allow the user 'nobody' to execute the file, and"):
        async with carrier.spawn(Command(argv=[str(program)], env=ENV, account=nobody), sink=Ear()):
            pass


@as_root
async def test_more_groups_than_the_system_takes(carrier: ProcessCarrier) -> None:
    impossible = Account(name="bot", uid=1, gid=1, groups=tuple(range(70_000)))
    with pytest.raises(AgentStartError, match="cannot start 'sh' in"):
        async with carrier.spawn(shell("exec cat", account=impossible), sink=Ear()):
            pass


HOST = """
import os, trio
from triologue.agents.accounts import find_account
from triologue.agents.process import open_carrier
from triologue.errors import AgentStartError
from triologue.ports import Command

async def main():
    for direct in (False, True):
        async with open_carrier(direct=direct) as carrier:
            try:
                command = Command(argv=["cat"], env={"PATH": os.environ["PATH"]}, cwd="/", account=find_account("nobody"))
                async with carrier.spawn(command, sink=print):
                    pass
            except AgentStartError as error:
                print(error)

trio.run(main)
"""


@as_root
@on_linux
def test_a_root_that_may_not_become_another_user() -> None:
    [told] = set(run_without(SETUID, SETGID, script=HOST))
    assert told == (
        "cannot start 'cat' in '/': Operation not permitted; allow this program to become the user 'nobody' (CAP_SETUID "
        "and CAP_SETGID), or leave Options.user out"
    )


@as_root
def test_what_qoder_is_told_by_a_file_can_be_read_by_that_user_alone(nobody: Account) -> None:
    with payload_file({"type": "qodercli"}, nobody) as path:
        seen = [(each.stat().st_uid, stat.S_IMODE(each.stat().st_mode)) for each in (path, path.parent)]
        assert seen == [(nobody.uid, 0o600), (nobody.uid, 0o700)]
    assert not path.parent.exists()


@as_root
async def test_qoder_as_that_user_reads_how_it_logs_in(carrier: ProcessCarrier, nobody: Account) -> None:
    ear = Ear()
    with tempfile.TemporaryDirectory() as folder:  # not below that of the tests, which is closed to others
        program = Path(folder, "qodercli")
        program.write_text('#!/bin/sh\nid -u; cat "$QODER_SDK_AUTH_PAYLOAD_FILE"; echo\n')
        for each in (program, program.parent):
            each.chmod(0o755)
        agent = Qoder(auth=access_token("t0ken"), environ=ENV)
        options = Options(cli_path=program, user="nobody", cwd="/")
        async with agent.connect(options, sink=ear, carrier=carrier) as connection:
            with trio.fail_after(PATIENCE):
                assert (await connection.wait_exit()).code == 0
    (uid, told) = ear.messages
    assert isinstance(uid, StrayText)
    assert isinstance(told, UnknownMessage)
    assert (uid.text, told.data) == (str(nobody.uid), {"type": "accessToken", "accessToken": "t0ken"})


TOKEN = f"account{os.getpid()}"


@pytest.fixture
def stranger(nobody: Account) -> Iterator[int]:
    """The pid of a process of that user, with a cookie."""
    with subprocess.Popen(
        ["sleep", "1000"], env={**ENV, COOKIE: f"{TOKEN}:7"}, user=nobody.uid, group=nobody.gid, extra_groups=[]
    ) as process:
        yield process.pid
        process.kill()


@as_root
@on_linux
def test_its_cookie_is_found_without_the_right_to_trace(stranger: int) -> None:
    script = (
        "from triologue.agents.warden_process import read_cookies\n"
        f"try: open('/proc/{stranger}/environ', 'rb').read()\n"
        "except PermissionError: print('refused')\n"
        f"print(read_cookies({stranger}))\n"
        "print(open('/proc/thread-self/status').read().partition('Uid:')[2].split()[:4])"
    )
    assert run_without(SYS_PTRACE, SYS_ADMIN, PERFMON, script=script) == [
        "refused",
        f"['{TOKEN}:7']",
        "['0', '0', '0', '0']",
    ]


@as_root
@on_linux
def test_the_sweep_finds_and_kills_it(stranger: int) -> None:
    assert read_cookies(stranger) == [f"{TOKEN}:7"]
    assert [seen.pid for seen in find_by_cookie(f"{TOKEN}:7")] == [stranger]
    assert sweep_by_cookie(f"{TOKEN}:7", PATIENCE) == []
    assert living([stranger]) == []
