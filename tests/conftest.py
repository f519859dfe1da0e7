"""For every test: how hard hypothesis tries, what is skipped, no network, and nothing left behind."""

import faulthandler
import gc
import inspect
import itertools
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.leftovers import (
    Belongings,
    adopt_orphans,
    kill_descendants,
    let_ends_finish,
    run_to_the_last_task,
)
from tests.support.needs import NEEDS, give_up
from triologue.agents.runtime import VARIABLE
from triologue.cli.database import VARIABLE as HOME_VARIABLE

# `ci` builds on hypothesis' own profile of that name: no deadline, and the same examples every time.
settings.register_profile("default", max_examples=50, deadline=None)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=100)
settings.register_profile("nightly", max_examples=10_000, stateful_step_count=200, deadline=None, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "default"))


# A shell starts what it runs in the background with SIGINT ignored, and every program below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    adopt_orphans()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_to_the_last_task), append=False)


def pytest_collection_finish() -> None:
    """Whoever collects garbage in a test goes through what that test has made, and not through every module and test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def quick_collector() -> None:
    """The same for tests that collect many times over, behind thousands of others that have left something."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, (find, reason) in NEEDS.items():
        if item.get_closest_marker(name) is not None and find() is None:
            give_up(reason)
    if item.get_closest_marker("timeout") is not None:
        # It may run on after `faulthandler_timeout`, and to tell where a running thread is can crash Python, as was seen on
        # 3.11 to 3.13. pytest-timeout says where it hangs, when its own time is over.
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, an open file or a thread; `run_to_the_last_task` does so for tasks."""
    before = Belongings.now()
    yield
    let_ends_finish(before)
    left = Belongings.now().since(before)
    if left:
        if not before.processes:
            kill_descendants()
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def runtime_folders() -> Iterator[Iterator[str]]:
    """Names of folders that are not there yet. Short ones: the address of a Unix socket has hardly a hundred bytes."""
    base = tempfile.mkdtemp(prefix="tri")
    yield (f"{base}/{number}" for number in itertools.count())
    shutil.rmtree(base)


@pytest.fixture(autouse=True)
def own_runtime_folder(runtime_folders: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a test's hosts tell of themselves no other test finds, and what the command keeps neither."""
    folder = Path(next(runtime_folders))
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setenv(HOME_VARIABLE, f"{folder}-home")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse connections to anywhere but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address!r}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
