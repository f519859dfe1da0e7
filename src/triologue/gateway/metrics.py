"""A manager and its gateway as Prometheus reads them. No key of a session and no name of a token is in it."""

from collections.abc import Iterator
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from triologue.actors import BOUNDS, Durations
from triologue.gateway.statistics import GatewayStatistics
from triologue.manager import ManagerStatistics
from triologue.messages import OutcomeKind, SessionState

# What is shown even when there is none, for a series that comes and goes cannot be asked for its rate.
_OUTCOMES: tuple[OutcomeKind, ...] = get_args(OutcomeKind)
_STATES: tuple[SessionState, ...] = get_args(SessionState)


def metrics_text(manager: ManagerStatistics, gateway: GatewayStatistics, memory: int | None = None) -> bytes:
    """The text format of Prometheus, version 0.0.4; numbers of this process are in it too where the system tells them.

    Args:
        manager: what it has counted.
        gateway: the same.
        memory: of all agents' processes, in bytes; None: nobody can tell.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(manager, gateway, memory))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, manager: ManagerStatistics, gateway: GatewayStatistics, memory: int | None) -> None:
        self._manager = manager
        self._gateway = gateway
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        """Called once."""
        yield from _of_sessions(self._manager)
        yield from _of_agents(self._manager)
        if self._memory is not None:
            yield _gauge("triologue_agents_memory_bytes", "Of all agents' processes (PSS).", self._memory)
        yield from _of_gateway(self._gateway)


def _of_sessions(said: ManagerStatistics) -> Iterator[Metric]:
    sessions = GaugeMetricFamily("triologue_sessions", "Sessions that the manager knows, by state.", labels=["state"])
    for state in _STATES:
        sessions.add_metric([state], said.states.get(state, 0))
    yield sessions
    yield _counter("triologue_sessions_put_away", "Sessions that slept and were left to the store.", said.put_away)
    turns = CounterMetricFamily("triologue_turns", "Turns that have ended, by outcome.", labels=["outcome"])
    for outcome in _OUTCOMES:
        turns.add_metric([outcome], said.turns.get(outcome, 0))
    yield turns
    yield _histogram("triologue_turn_seconds", "From a turn's acceptance to its outcome.", said.turn_durations)
    yield _gauge("triologue_turns_running", "Turns that are with an agent, or on their way to one.", said.running)
    yield _gauge("triologue_turns_waiting", "Turns in line behind others of their session.", said.waiting)
    yield _gauge("triologue_oldest_turn_seconds", "Age of the oldest turn without an outcome.", said.oldest_turn or 0.0)
    yield _gauge("triologue_permissions_open", "Permission requests that wait for an answer.", said.permissions)
    # No counter: what a session has cost is forgotten with it.
    yield _gauge("triologue_cost_usd", "US dollars that the sessions have cost, as far as agents tell.", said.cost_usd)


def _of_agents(said: ManagerStatistics) -> Iterator[Metric]:
    yield _gauge("triologue_agents_live", "Sessions whose agent is there.", said.live)
    yield _gauge("triologue_agents_starting", "Starts under way.", said.starting)
    yield _gauge("triologue_agents_waiting", "Starts in line, for room or behind others.", said.starts_waiting)
    yield _counter("triologue_agent_restarts", "Agents started after one had gone away by itself.", said.restarts)
    yield _gauge("triologue_draining", "1 once the end was asked for.", said.is_draining)


def _of_gateway(said: GatewayStatistics) -> Iterator[Metric]:
    yield _gauge("triologue_gateway_connections", "Clients that have said hello.", said.connections)
    yield _gauge("triologue_gateway_handshakes", "Clients that have not yet.", said.handshakes)
    yield _gauge("triologue_gateway_viewers", "Attached sessions, of all connections together.", said.viewers)
    yield _gauge("triologue_gateway_waiting_bytes", "Events that wait to be sent.", said.waiting_bytes)
    yield _counter("triologue_gateway_accepted", "Connections so far.", said.accepted)
    yield _counter("triologue_gateway_refused", "Connections that were let go at once.", said.refused)
    yield _counter("triologue_gateway_requests", "Frames that asked for something.", said.requests)
    yield _counter("triologue_gateway_failures", "Requests that got an error.", said.failures)
    yield _counter("triologue_gateway_events", "Events sent, counted for each viewer.", said.events)
    yield _counter("triologue_gateway_sent_bytes", "In frames to clients.", said.bytes_sent)
    yield _counter("triologue_gateway_received_bytes", "In frames from clients.", said.bytes_received)
    yield _counter("triologue_gateway_gaps", "Times that a viewer fell behind.", said.gaps)
    yield _counter("triologue_gateway_slow_closes", "Connections closed for reading nothing.", said.slow_closes)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _histogram(name: str, about: str, durations: Durations) -> Metric:
    bounds = [*map(str, BOUNDS), "+Inf"]
    buckets = [(bound, float(count)) for bound, count in zip(bounds, accumulate(durations.counts), strict=True)]
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=durations.seconds)
