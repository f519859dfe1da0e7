"""A gateway that is attacked, with a secret that must not get out, and what has to hold behind every attack."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

import triologue as tri
from tests.support.raw_socket import Raw, open_raw
from triologue.gateway import MemoryTokens
from triologue.testing import ScriptedAgent, UseTool

SECRET = "nobody-may-see-this"
"""In all that happens in a session of another."""
KEY_OF_ANOTHER = f"alice:{SECRET}"


@dataclass
class Target:
    """What is attacked."""

    manager: tri.SessionManager
    gateway: tri.Gateway
    tokens: MemoryTokens
    alice: str
    """Her token: everything, in `alice:`."""
    mallory: str
    """His: everything, in `mallory:`."""

    @property
    def port(self) -> int:
        return self.gateway.port

    async def check_healthy(self) -> None:
        """Somebody else is served."""
        async with open_raw(self.port) as raw:
            await raw.open(self.alice)
            await raw.ask(type="attach", id=1, key="alice:well")
            await raw.ask(type="prompt", id=2, key="alice:well", prompt="how are you?")
            await raw.until(lambda told: "#turn_ended" in kinds(told))

    async def let_alice_be_asked(self) -> tri.PermissionRequest:
        """An open permission request of a session that only she may know."""
        await self.manager.session(KEY_OF_ANOTHER).send(f"touch {SECRET}", id=f"turn-{SECRET}")
        while not self.manager.permissions():
            await trio.sleep(0.01)
        return self.manager.permissions()[0]


def kinds(told: dict[str, object]) -> list[str]:
    """Of the events in a frame."""
    events = told.get("events", [])
    assert isinstance(events, list)
    return [event["kind"] for event in events]


@asynccontextmanager
async def attacked(
    caplog: pytest.LogCaptureFixture, limits: tri.GatewayLimits | None = None, *, level: int = logging.DEBUG
) -> AsyncGenerator[Target]:
    """A gateway. Behind the block it must still serve, have told no token to its log, and have met nothing but limits."""
    caplog.set_level(level)
    tokens = MemoryTokens()
    alice = tokens.add("alice", prefix="alice:")
    mallory = tokens.add("mallory", prefix="mallory:")
    agent = ScriptedAgent()
    agent.on(f"touch {SECRET}", UseTool("Touch", {"path": SECRET}, asks=True))
    async with (
        tri.open_manager(agent, on_permission=wait_for_a_client) as manager,
        tri.open_gateway(manager, port=0, tokens=tokens, limits=limits) as gateway,
    ):
        target = Target(manager, gateway, tokens, alice, mallory)
        yield target
        await target.check_healthy()
    for secret in (alice, mallory):
        assert secret.split("_", 2)[2] not in caplog.text
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [each for each in said if not each.startswith("the limit ")] == []


def wait_for_a_client(request: tri.PermissionRequest) -> None:
    """Somebody will answer."""


def assert_nothing_leaks(raw: Raw) -> None:
    """Nothing that was sent is of another."""
    assert SECRET not in json.dumps(raw.told)
