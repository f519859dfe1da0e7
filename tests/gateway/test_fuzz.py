"""Noise over real sockets, for a while: the service answers a healthy client all the time."""

import json
import logging
import os
import random
from collections.abc import Callable
from typing import get_args

import pytest
import trio

from tests.gateway.attacked import Target, assert_nothing_leaks, attacked
from tests.support.raw_socket import TEXT, Raw, frame, open_raw, text, upgrade
from triologue.protocol.asked import Request

SECONDS = float(os.environ.get("TRIOLOGUE_FUZZ_SECONDS", "60"))
ATTACKERS = 8
MOMENT = 0.05

REQUESTS = get_args(Request)
KINDS = ["hello", "events", *(str(kind.__struct_config__.tag) for kind in REQUESTS)]
FIELDS = sorted({field for kind in REQUESTS for field in kind.__struct_encode_fields__})


class Noise:
    """What one attacker says, by chance."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def random(self) -> bytes:
        return self._draw.randbytes(self._draw.choice([1, 10, 100, 1_000, 20_000]))

    def value(self, depth: int = 0) -> object:
        draw = self._draw
        plain: list[object] = [
            None,
            True,
            0,
            -1,
            1,
            2**53,
            2**70,
            0.5,
            "",
            "mallory:x",
            "mallory:y",
            "alice:well",
            "\0",
            "x" * 300,
            "steer",
            [],
        ]
        if depth < 3 and draw.random() < 0.3:
            return {draw.choice(FIELDS): self.value(depth + 1) for _ in range(draw.randrange(4))}
        return draw.choice(plain)

    def request(self) -> str:
        draw = self._draw
        fields = {draw.choice(FIELDS): self.value() for _ in range(draw.randrange(5))}
        key = draw.choice(["mallory:x", "mallory:y", "alice:well"])
        return json.dumps({"id": draw.randrange(9), "key": key, "prompt": "go", **fields, "type": draw.choice(KINDS)})

    def mutated(self, data: bytes) -> bytes:
        draw, changed = self._draw, bytearray(data)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(changed) + 1)
            changed[at : at + draw.randrange(9)] = draw.randbytes(draw.randrange(9))
        return bytes(changed)

    def frame(self) -> bytes:
        draw = self._draw
        return frame(
            draw.choice([TEXT, draw.randrange(16)]),
            draw.choice([self.request().encode(), self.random(), b""]),
            is_last=draw.random() < 0.8,
            is_masked=draw.random() < 0.95,
            reserved=draw.choice([0] * 19 + [draw.randrange(8)]),
        )

    def said(self) -> bytes:
        ways: list[Callable[[], bytes]] = [
            self.random,
            self.frame,
            lambda: self.mutated(text(self.request())),
            lambda: text(self.request()),
            lambda: text(self.mutated(self.request().encode()).decode("utf-8", "replace")),
        ]
        return self._draw.choices(ways, [1, 4, 2, 10, 4])[0]()


async def attack(target: Target, seed: int) -> None:
    draw = random.Random(seed)
    noise = Noise(draw)
    while True:
        async with open_raw(target.port) as raw:
            match draw.randrange(10):
                case 0:
                    await raw.send(noise.random())
                case 1:
                    await raw.send(noise.mutated(upgrade(raw.host)))
                case 2:
                    await raw.send(upgrade(raw.host), noise.said(), noise.said())
                case _:
                    await raw.open(target.mallory)
                    for _ in range(draw.randrange(30)):
                        await raw.send(noise.said())
            with trio.move_on_after(draw.choice([0, MOMENT, 4 * MOMENT])):
                await listen(raw)
            assert_nothing_leaks(raw)
            if draw.random() < 0.3:
                await hang_up(raw)


async def listen(raw: Raw) -> None:
    """Read what comes, whatever it is."""
    if not raw.told:
        await raw.answer()


async def hang_up(raw: Raw) -> None:
    try:
        await raw.stream.send_eof()
    except (trio.BrokenResourceError, OSError):
        pass


async def be_healthy(target: Target) -> None:
    """Talk as one should, and be answered."""
    while True:
        await target.check_healthy()
        await trio.sleep(MOMENT)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
async def test_noise_keeps_nobody_from_anything(caplog: pytest.LogCaptureFixture) -> None:
    async with attacked(caplog, level=logging.WARNING) as target:
        request = await target.let_alice_be_asked()
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for seed in range(ATTACKERS):
                    nursery.start_soon(attack, target, seed)
                nursery.start_soon(be_healthy, target)
        assert target.manager.permissions() == [request]
        await request.deny()
        statistics = target.gateway.statistics()
        assert statistics.requests > 0
        assert statistics.failures > 0
