"""The token file: written whole or not at all, this user's alone, and read again when it changes."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from triologue.errors import InvalidOption, StoreError
from triologue.gateway.token_file import TokenFile
from triologue.gateway.tokens import id_of
from triologue.testing import run_virtual


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_what_is_added_is_there_for_the_next_one(path: Path) -> None:
    first = TokenFile(path, create=True)
    token = first.add("phone", rights=["watch"], prefix="a/", expires=5.0)
    second = TokenFile(path)
    assert second.grants() == first.grants()
    assert second.check(token, 0.0) == first.check(token, 0.0) is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert token.split("_", 2)[2] not in path.read_text()
    assert list(path.parent.iterdir()) == [path]


def test_two_who_change_it_lose_nothing(path: Path) -> None:
    one, other = TokenFile(path, create=True), TokenFile(path, create=True)
    tokens = [one.add("a"), other.add("b"), one.add("c")]
    assert other.revoke(tokens[0])
    assert [each.name for each in TokenFile(path).grants()] == ["b", "c"]
    assert not TokenFile(path).revoke("none")


def test_a_link_is_read_and_not_changed(path: Path) -> None:
    """Changed, it would be a file of its own, and who serves the other one would not hear that a token is revoked."""
    token = TokenFile(path, create=True).add("ann")
    link = path.with_name("link.json")
    link.symlink_to(path)
    file = TokenFile(link)
    assert file.check(token, 0.0) is not None
    for change in (lambda: file.revoke(token), lambda: file.add("bob")):
        with pytest.raises(StoreError) as refused:
            change()
        assert str(refused.value) == (
            f"the token file {str(link)!r} is a symbolic link, which can be read, and not be changed; "
            f"change the file that it leads to: --tokens {path}"
        )
    assert TokenFile(path).grants() == file.grants()
    assert link.is_symlink()


def test_a_change_that_is_refused_changes_nothing(path: Path) -> None:
    file = TokenFile(path, create=True)
    file.add("a")
    before = path.read_bytes()
    with pytest.raises(InvalidOption):
        file.add("")
    assert path.read_bytes() == before


def test_a_disk_that_is_read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(name: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(name))

    def open_read_only(name: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            refuse(name)
        return opened(name, flags, mode)

    monkeypatch.setattr(os, "open", open_read_only)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StoreError, match=r"cannot write the token file .*: Read-only file system"):
        TokenFile(path, create=True).add("phone")


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no token file '.*tokens.json'; `triologue tokens add"):
        TokenFile(path)
    with pytest.raises(StoreError, match=r"cannot write the token file .*: No such file or directory"):
        TokenFile(path.parent / "none" / "tokens.json", create=True).add("a")


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"{}",
        b"[]",
        b'{"format":"triologue tokens 2","tokens":[]}',
        b'{"format":"triologue tokens 1","tokens":[],"more":1}',
        b"\xff\xfe",
    ],
)
def test_another_file(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    path.chmod(0o600)
    with pytest.raises(
        StoreError, match=r"tokens.json' is no token file, or a damaged one \(.+\); restore it, or move it away"
    ):
        TokenFile(path, create=True)
    assert path.read_bytes() == contents


def test_a_torn_file(path: Path) -> None:
    TokenFile(path, create=True).add("a")
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="no token file, or a damaged one"):
            TokenFile(path)


def test_a_damaged_hash(path: Path) -> None:
    TokenFile(path, create=True).add("a")
    contents = msgspec.json.decode(path.read_bytes())
    contents["tokens"][0]["sha256"] = "ab"
    path.write_bytes(msgspec.json.encode(contents))
    with pytest.raises(StoreError, match="a hash is not 32 bytes long"):
        TokenFile(path)


def test_a_file_that_others_may_use(path: Path) -> None:
    TokenFile(path, create=True).add("a")
    path.chmod(0o640)
    with pytest.raises(StoreError, match=r"others may use the token file .* \(its mode is 640\); say: chmod 600"):
        TokenFile(path)


def test_what_is_no_file(path: Path) -> None:
    path.mkdir(mode=0o700)
    with pytest.raises(StoreError, match=r"cannot read the token file .*: Is a directory"):
        TokenFile(path)


def test_a_fifo_is_refused_at_once_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(StoreError, match=r"the token file '.*tokens.json' is no regular file"):
        TokenFile(path)


def test_a_change_on_disk_is_heard_of(path: Path) -> None:
    command = TokenFile(path, create=True)
    token = command.add("phone")
    served = TokenFile(path)
    heard: list[bool] = []

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.watch, lambda: heard.append(served.check(token, 0.0) is not None))
            await trio.sleep(3.5)
            assert heard == [], "nothing has changed"
            command.revoke(token)
            await trio.sleep(1.5)
            assert heard == [False]
            served.revoke(id_of(served.add("other")))
            await trio.sleep(1.5)
            assert heard == [False, False], "one's own changes are told too"
            nursery.cancel_scope.cancel()

    run_virtual(story)


def test_a_change_on_disk_counts_before_it_is_heard_of(path: Path) -> None:
    command = TokenFile(path, create=True)
    token = command.add("phone")
    served = TokenFile(path)
    assert served.check(token, 0.0) == served.get(id_of(token), 0.0) == command.grants()[0]
    command.revoke(token)
    assert (served.check(token, 0.0), served.get(id_of(token), 0.0)) == (None, None)


def test_a_file_that_goes_bad_changes_nothing_and_one_that_goes_lets_nobody_in(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = TokenFile(path, create=True).add("phone")
    served = TokenFile(path)

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.watch, lambda: None)
            await trio.sleep(0.5)
            path.write_bytes(b"{")
            await trio.sleep(3)
            assert served.check(token, 0.0) is not None
            path.unlink()
            await trio.sleep(3)
            assert served.check(token, 0.0) is None
            nursery.cancel_scope.cancel()

    run_virtual(story)
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == [
        "the tokens stay as they were",
        f"the token file {path} is gone, so no token is valid",
    ]


def test_what_is_written_while_a_bad_one_is_read_counts_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = TokenFile(path, create=True)
    token = command.add("phone")
    served = TokenFile(path)
    command.revoke(token)
    whole = path.read_bytes()
    path.write_bytes(whole[:9])

    def look(file: int, fstat: Callable[[int], os.stat_result] = os.fstat) -> os.stat_result:
        found = fstat(file)
        monkeypatch.undo()
        done = path.with_suffix(".done")
        done.write_bytes(whole)
        done.chmod(0o600)
        done.rename(path)  # behind the back of who has opened it
        return found

    monkeypatch.setattr(os, "fstat", look)
    assert served.check(token, 0.0) is not None
    assert served.check(token, 0.0) is None


def test_what_cannot_be_opened_for_a_while_is_read_once_it_can_be(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    command = TokenFile(path, create=True)
    token = command.add("phone")
    served = TokenFile(path)

    def refuse(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.watch, lambda: heard.append(served.check(token, 0.0) is not None))
            command.revoke(token)
            with monkeypatch.context() as full:
                full.setattr(os, "open", refuse)
                await trio.sleep(3.5)
                assert served.check(token, 0.0) is not None
            await trio.sleep(1)
            nursery.cancel_scope.cancel()

    heard: list[bool] = []
    run_virtual(story)
    assert heard == [False]
    said = f"the tokens stay as they were: cannot read the token file {str(path)!r}: Too many open files"
    assert [record.getMessage() for record in caplog.records] == [said], "once, and not at every look"


def test_one_that_is_damaged_when_it_can_be_opened_again_is_told_of(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = TokenFile(path, create=True).add("phone")
    served = TokenFile(path)

    def refuse(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    path.write_bytes(b"{")
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        assert served.check(token, 0.0) is not None
    for _ in range(3):
        assert served.check(token, 0.0) is not None
    opening, damage = (record.getMessage() for record in caplog.records)
    assert opening.endswith("Too many open files")
    assert f"{str(path)!r} is no token file, or a damaged one" in damage


def test_a_file_that_is_given_to_its_user_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = TokenFile(path, create=True)
    token = command.add("phone")
    served = TokenFile(path)
    command.revoke(token)
    with monkeypatch.context() as foreign:
        foreign.setattr(os, "fstat", _owned_by(os.geteuid() + 1, os.fstat))
        foreign.setattr(os, "stat", _owned_by(os.geteuid() + 1, os.stat))
        assert served.check(token, 0.0) is not None
    assert served.check(token, 0.0) is None


def _owned_by(uid: int, look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
    def found(*of: Any, **how: Any) -> os.stat_result:
        real = look(*of, **how)
        return os.stat_result([*real[:4], uid, *real[5:]], {"st_mtime_ns": real.st_mtime_ns})

    return found
