"""Metrics, read back as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

import triologue as tri
from triologue.actors import BOUNDS, Durations
from triologue.cli.offline import offline_agent
from triologue.gateway.metrics import metrics_text
from triologue.gateway.statistics import GatewayStatistics
from triologue.manager import ManagerStatistics

NOTHING = ManagerStatistics(
    sessions=0, states={}, turns={}, running=0, waiting=0, live=0, starting=0, starts_waiting=0, timers=0
)


def read(text: bytes) -> dict[str, float]:
    """`name{label="value"}` -> number, without those of the process."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            if sample.name.startswith("triologue_"):
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_each_number_is_there_under_its_name() -> None:
    durations = Durations()
    for seconds in (0.05, 0.1, 2.0, 5000.0):
        durations.add(seconds)
    manager = ManagerStatistics(
        sessions=3,
        states={"running": 2, "idle": 1},
        turns={"answered": 4},
        running=2,
        waiting=1,
        live=3,
        starting=1,
        starts_waiting=5,
        timers=9,
        permissions=6,
        restarts=7,
        cost_usd=1.25,
        turn_durations=durations,
        oldest_turn=61.5,
        is_draining=True,
    )
    said = read(metrics_text(manager, GatewayStatistics(), 1024))
    told = {name: value for name, value in said.items() if value and "_bucket" not in name}
    assert told == {
        "triologue_sessions{state=running}": 2,
        "triologue_sessions{state=idle}": 1,
        "triologue_turns_total{outcome=answered}": 4,
        "triologue_turn_seconds_count": 4,
        "triologue_turn_seconds_sum": 5002.15,
        "triologue_turns_running": 2,
        "triologue_turns_waiting": 1,
        "triologue_oldest_turn_seconds": 61.5,
        "triologue_permissions_open": 6,
        "triologue_cost_usd": 1.25,
        "triologue_agents_live": 3,
        "triologue_agents_starting": 1,
        "triologue_agents_waiting": 5,
        "triologue_agent_restarts_total": 7,
        "triologue_agents_memory_bytes": 1024,
        "triologue_draining": 1,
    }
    buckets = [said[f"triologue_turn_seconds_bucket{{le={bound}}}"] for bound in (*BOUNDS, "+Inf")]
    assert buckets == [2, 2, 2, *[3] * (len(BOUNDS) - 3), 4], "each counts all that were shorter, too"


def test_all_that_a_gateway_counts_is_there() -> None:
    names = GatewayStatistics.__struct_fields__
    counted = GatewayStatistics(**{name: number for number, name in enumerate(names, 1)})
    said = read(metrics_text(NOTHING, counted))
    assert sorted(value for value in said.values() if value) == list(range(1, len(names) + 1))
    assert {name for name, value in said.items() if value and "_gateway_" not in name} == set()


def test_what_has_not_happened_yet_is_there_as_nothing() -> None:
    said = read(metrics_text(NOTHING, GatewayStatistics()))
    assert said["triologue_turns_total{outcome=lost}"] == 0
    assert said["triologue_sessions{state=failed}"] == 0
    assert "triologue_agents_memory_bytes" not in said
    assert set(said.values()) == {0.0}


async def test_a_manager_counts_how_long_turns_take() -> None:
    async with tri.open_manager(offline_agent()) as manager:
        turn = await manager.session("a").send("Wait 20 seconds")
        waiting = manager.statistics()
        await turn.cancel()
        ended = manager.statistics()
    assert waiting.oldest_turn is not None
    assert sum(waiting.turn_durations.counts) == 0
    assert ended.oldest_turn is None
    assert sum(ended.turn_durations.counts) == 1
    assert ended.turn_durations.seconds > 0
