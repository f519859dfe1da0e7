"""Where the CLI is looked for, in which order, and what is said when it is not there."""

import errno
import importlib.machinery
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from triologue.agents.discovery import (
    CLAUDE,
    CORTEX,
    PROGRAMS,
    QODER,
    Place,
    Program,
    find_program,
    places as places_of,
)
from triologue.errors import AgentNotFound, AgentStartError
from triologue.options import Options

CLAUDE_HERE = CLAUDE._replace(folders=("~/.local/bin", "~/.claude/local"))


def find_claude(options: Options, environ: Mapping[str, str] | None = None) -> Path:
    return find_program(CLAUDE_HERE, options, environ)


def places(program: Program = CLAUDE_HERE) -> list[Place]:
    return places_of(program)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No CLI anywhere: an empty home and PATH, no vendor SDK, and no folders outside of the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{tmp_path}/sbin")
    for each in PROGRAMS.values():
        monkeypatch.delenv(each.variable, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return tmp_path


def install_sdk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        assert name == "claude_agent_sdk"
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        assert spec.submodule_search_locations is not None
        spec.submodule_search_locations.append(str(folder))
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find)
    return program(folder / "_bundled" / "claude")


def test_each_place_wins_over_those_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = install_sdk(monkeypatch, tmp_path / "claude_agent_sdk")
    found = [find_claude(Options())]
    for path in ("home/.claude/local/claude", "home/.local/bin/claude", "sbin/claude", "bin/claude"):
        program(tmp_path / path)
        found.append(find_claude(Options()))
    named = program(tmp_path / "named by a variable")
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", str(named))
    found.append(find_claude(Options()))
    chosen = program(tmp_path / "chosen")
    found.append(find_claude(Options(cli_path=chosen)))
    assert found == [
        bundled,
        tmp_path / "home/.claude/local/claude",
        tmp_path / "home/.local/bin/claude",
        tmp_path / "sbin/claude",
        tmp_path / "bin/claude",
        named,
        chosen,
    ]


def test_every_place_is_told_and_which_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_sdk(monkeypatch, tmp_path / "claude_agent_sdk")
    program(tmp_path / "home/.local/bin/claude").chmod(0o644)  # not executable
    assert places() == [
        Place("CLAUDE_CODE_CLI_PATH", "", False),
        Place("PATH", os.environ["PATH"], False),
        Place("usual folder", f"{tmp_path}/home/.local/bin/claude", False),
        Place("usual folder", f"{tmp_path}/home/.claude/local/claude", False),
        Place("inside claude-agent-sdk", f"{tmp_path}/claude_agent_sdk/_bundled/claude", True),
    ]
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", "~/nowhere")
    program(tmp_path / "bin/claude")
    assert places()[:2] == [
        Place("CLAUDE_CODE_CLI_PATH", f"{tmp_path}/home/nowhere", False),
        Place("PATH", f"{tmp_path}/bin/claude", True),
    ]


def test_nowhere_lists_the_places_and_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(AgentNotFound) as caught:
        find_claude(Options())
    assert str(caught.value) == (
        "the Claude Code CLI `claude` is in none of these places:\n"
        "  CLAUDE_CODE_CLI_PATH: nothing\n"
        f"  PATH: {tmp_path}/bin:{tmp_path}/sbin\n"
        f"  usual folder: {tmp_path}/home/.local/bin/claude\n"
        f"  usual folder: {tmp_path}/home/.claude/local/claude\n"
        "  inside claude-agent-sdk: nothing\n"
        "install it with `npm install -g @anthropic-ai/claude-code`, or `pip install claude-agent-sdk`; "
        "or name it by Options(cli_path=...) or CLAUDE_CODE_CLI_PATH"
    )


def test_what_is_named_is_taken_or_refused_though_another_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/claude")
    with pytest.raises(AgentNotFound, match=r"Options\.cli_path='/nowhere/claude': there is no such file"):
        find_claude(Options(cli_path="/nowhere/claude"))
    with pytest.raises(AgentNotFound, match=r"Options\.cli_path='': there is no such file"):
        find_claude(Options(cli_path=""))
    with pytest.raises(AgentStartError, match="is a folder; name the program in it"):
        find_claude(Options(cli_path=tmp_path / "bin"))
    plain = program(tmp_path / "plain")
    plain.chmod(0o644)
    with pytest.raises(AgentStartError, match="may not be executed by this user"):
        find_claude(Options(cli_path=plain))
    monkeypatch.setenv("CLAUDE_CODE_CLI_PATH", "/nowhere/else")
    with pytest.raises(AgentNotFound, match="CLAUDE_CODE_CLI_PATH='/nowhere/else': there is no such file"):
        find_claude(Options())


def test_what_this_user_may_not_look_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that was started with the HOME of another user, say."""
    stat = Path.stat

    def refusing(path: Path, **more: bool) -> os.stat_result:
        if path.is_relative_to(tmp_path / "theirs"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refusing)
    with pytest.raises(AgentNotFound, match=r"theirs/\.local/bin/claude"):
        find_claude(Options(), {"HOME": str(tmp_path / "theirs"), "PATH": "/nowhere"})
    with pytest.raises(AgentStartError, match="may not look into; name another file"):
        find_claude(Options(cli_path=tmp_path / "theirs/claude"))


def test_the_path_is_absolute_because_the_agent_starts_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "home/mine/claude")
    monkeypatch.chdir(tmp_path / "home")
    found = [find_claude(Options(cli_path=path)) for path in ("mine/claude", "~/mine/claude", Path("mine", "claude"))]
    monkeypatch.setenv("PATH", "mine")
    found.append(find_claude(Options()))
    assert found == [tmp_path / "home/mine/claude"] * 4


def test_an_environment_of_its_own_is_looked_at_instead(tmp_path: Path) -> None:
    program(tmp_path / "bin/claude")
    theirs = program(tmp_path / "theirs/.local/bin/claude")
    assert find_claude(Options(), {"HOME": str(tmp_path / "theirs"), "PATH": "/nowhere"}) == theirs


def test_a_module_without_a_spec_in_the_place_of_the_sdk_is_no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ValueError(f"{name}.__spec__ is None")

    monkeypatch.setattr(importlib.util, "find_spec", broken)
    assert places()[-1] == Place("inside claude-agent-sdk", "", False)


def test_either_name_of_the_qoder_cli_is_found_and_the_longer_one_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = QODER._replace(folders=("~/.local/bin",))
    found = []
    for path in ("home/.local/bin/qoder", "home/.local/bin/qodercli", "bin/qoder", "sbin/qodercli"):
        program(tmp_path / path)
        found.append(find_program(here, Options()))
    monkeypatch.setenv("QODERCLI_PATH", str(program(tmp_path / "named")))
    found.append(find_program(here, Options()))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "home/.local/bin/qoder",
        "home/.local/bin/qodercli",
        "bin/qoder",
        "sbin/qodercli",
        "named",
    ]


def test_the_variable_of_the_cortex_cli_is_taken_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "home/.local/bin/cortex")
    assert find_program(CORTEX, Options()) == tmp_path / "home/.local/bin/cortex"
    monkeypatch.setenv("CORTEX_CODE_CLI_PATH", "~/other/cortex")
    with pytest.raises(AgentNotFound, match="CORTEX_CODE_CLI_PATH='~/other/cortex': there is no such file"):
        find_program(CORTEX, Options())
    program(tmp_path / "home/other/cortex")
    assert find_program(CORTEX, Options()) == tmp_path / "home/other/cortex"


@pytest.mark.parametrize("each", PROGRAMS.values(), ids=PROGRAMS)
def test_nowhere_is_told_in_one_line_too(each: Program) -> None:
    with pytest.raises(AgentNotFound) as caught:
        find_program(each._replace(folders=("~/none",)), Options())
    first, *_, last = str(caught.value).splitlines()
    assert first == f"{each.title} is in none of these places:"
    assert last == f"{each.install}; or name it by Options(cli_path=...) or {each.variable}"
    assert each.missing == f"{each.title} was not found; {each.install}, or name it by {each.variable}"
