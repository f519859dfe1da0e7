"""The laws of residency, for any order of what actors, callers and scales can say."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from triologue.supervision.residency import Effect, Evict, Grant, Residency

KEYS = [f"k{number}" for number in range(6)]
PICK = st.integers(0, len(KEYS) - 1)
KINDS = ["process", "embedded"]
GROUPS = ["red", "blue"]


@dataclass
class Live:
    """What an actor knows of its connection."""

    generation: int
    kind: str
    group: str
    idle: bool = False
    asked: bool = False
    leaving: bool = False
    size: int = 0


@dataclass
class Waiting:
    generation: int
    kind: str
    group: str


class ResidencyMachine(RuleBasedStateMachine):
    """Actors that do as the machine says, and one that checks what it says."""

    @initialize(
        bounds=st.fixed_dictionaries({kind: st.integers(1, 3) for kind in KINDS}),
        per_group=st.none() | st.integers(1, 3),
        size=st.none() | st.integers(1, 12),
    )
    def open(self, bounds: dict[str, int], per_group: int | None, size: int | None) -> None:
        self.bounds, self.per_group, self.max_size = bounds, per_group, size
        self.residency = Residency(bounds, max_live_per_group=per_group, max_rss_bytes=size)
        self.now = 0.0
        self.generations: Counter[str] = Counter()
        self.live: dict[str, Live] = {}
        self.waiting: dict[str, Waiting] = {}

    # What is said.
    @rule(key=st.sampled_from(KEYS), kind=st.sampled_from(KINDS), group=st.sampled_from(GROUPS))
    def want(self, key: str, kind: str, group: str) -> None:
        if key not in self.live and key not in self.waiting:
            self.generations[key] += 1
            self.waiting[key] = Waiting(self.generations[key], kind, group)
            self.do(self.residency.want(key, self.generations[key], kind=kind, group=group, now=self.tick()))

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def idle(self, pick: int) -> None:
        key = nth(self.live, pick)
        if not self.live[key].leaving:
            self.live[key].idle = True
            self.do(self.residency.idle(key, self.live[key].generation, now=self.tick()))

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def busy(self, pick: int) -> None:
        key = nth(self.live, pick)
        if not self.live[key].leaving:
            self.live[key].idle = False
            self.residency.busy(key, self.live[key].generation)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def answer(self, pick: int) -> None:
        key = nth(self.live, pick)
        if self.live[key].asked:
            live = self.live[key]
            if live.idle or live.leaving:
                live.leaving = True
                self.residency.leaving(key, live.generation)
            else:
                live.asked = False
                self.do(self.residency.refused(key, live.generation, now=self.tick()))

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def refuse(self, pick: int) -> None:
        key = nth(self.live, pick)
        if self.live[key].asked and not self.live[key].leaving:
            self.live[key].asked = self.live[key].idle = False
            self.do(self.residency.refused(key, self.live[key].generation, now=self.tick()))

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def leave(self, pick: int) -> None:
        key = nth(self.live, pick)
        self.live[key].leaving = True
        self.residency.leaving(key, self.live[key].generation)

    @precondition(lambda self: self.live)
    @rule(pick=PICK)
    def left(self, pick: int) -> None:
        key = nth(self.live, pick)
        self.do(self.residency.left(key, self.live.pop(key).generation, now=self.tick()))

    @precondition(lambda self: self.waiting)
    @rule(pick=PICK)
    def withdraw(self, pick: int) -> None:
        key = nth(self.waiting, pick)
        assert self.residency.left(key, self.waiting.pop(key).generation, now=self.tick()) == []

    @rule(sizes=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 6)), stale=st.booleans())
    def measure(self, sizes: dict[str, int], stale: bool) -> None:
        said = {(key, self.generations[key] - stale): size for key, size in sizes.items()}
        for key, size in sizes.items():
            if key in self.live and not stale:
                self.live[key].size = size
        self.do(self.residency.measured(said, now=self.tick()))

    @precondition(lambda self: any(self.generations.values()))
    @rule(key=st.sampled_from(KEYS), what=st.sampled_from(["idle", "left", "refused", "leaving", "busy"]))
    def say_something_stale(self, key: str, what: str) -> None:
        before = self.residency.statistics()
        said = {"now": self.tick()} if what not in ("leaving", "busy") else {}
        assert not getattr(self.residency, what)(key, self.generations[key] - 1, **said)
        assert self.residency.statistics() == before

    def teardown(self) -> None:
        """Nobody waits for ever, once everyone comes to rest and does as it is asked."""
        if not hasattr(self, "residency"):
            return
        for _ in range(3 * len(KEYS)):
            for key, live in list(self.live.items()):
                pick = list(self.live).index(key)
                if live.asked or live.leaving:
                    self.left(pick)
                else:
                    self.idle(pick)
        assert self.waiting == {}

    # What is answered.
    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Grant(key=key, generation=generation):
                    self.grant(key, generation)
                case Evict(key=key, generation=generation):
                    live = self.live[key]
                    assert live.generation == generation
                    assert live.idle, "a busy one was asked to leave"
                    assert not live.asked, "one was asked twice"
                    assert not live.leaving, "one that leaves was asked to"
                    live.asked = True
        self.check_need({self.live[effect.key].kind for effect in effects if isinstance(effect, Evict)})

    def grant(self, key: str, generation: int) -> None:
        waiting = self.waiting[key]
        assert waiting.generation == generation
        alike = (other for other, at in self.waiting.items() if (at.kind, at.group) == (waiting.kind, waiting.group))
        assert next(alike) == key, "one was overtaken by its like"
        assert not self.is_over()
        del self.waiting[key]
        self.live[key] = Live(generation, waiting.kind, waiting.group)

    def check_need(self, kinds: set[str]) -> None:
        """For one need nobody is asked twice. Exact where only the bounds of the kinds count."""
        if self.per_group is None and self.max_size is None:
            for kind in kinds:
                staying = sum(live.kind == kind and not (live.asked or live.leaving) for live in self.live.values())
                waiting = sum(waiting.kind == kind for waiting in self.waiting.values())
                assert staying + waiting >= self.bounds[kind], "one was asked for whom nobody waits"

    @invariant()
    def the_bounds_hold(self) -> None:
        if hasattr(self, "residency"):
            for kind, bound in self.bounds.items():
                assert self.count(kind=kind) <= bound
            for group in GROUPS:
                assert self.per_group is None or self.count(group=group) <= self.per_group

    @invariant()
    def nobody_waits_for_what_is_free(self) -> None:
        if hasattr(self, "residency") and not self.is_over():
            for key, waiting in self.waiting.items():
                is_full = self.count(kind=waiting.kind) >= self.bounds[waiting.kind]
                if self.per_group is not None:
                    is_full = is_full or self.count(group=waiting.group) >= self.per_group
                assert is_full, f"{key} waits for nothing"
                assert self.residency.why(key) is not None

    @invariant()
    def the_numbers_are_true(self) -> None:
        if hasattr(self, "residency"):
            said = self.residency.statistics()
            assert said.live == {kind: self.count(kind=kind) for kind in KINDS}
            assert said.waiting == len(self.waiting)
            assert said.leaving == sum(live.asked or live.leaving for live in self.live.values())
            assert said.rss_bytes == sum(live.size for live in self.live.values())

    def count(self, *, kind: str = "", group: str = "") -> int:
        return sum(kind in ("", live.kind) and group in ("", live.group) for live in self.live.values())

    def is_over(self) -> bool:
        return self.max_size is not None and sum(live.size for live in self.live.values()) > self.max_size

    def tick(self) -> float:
        self.now += 1
        return self.now


def nth(keys: Iterable[str], number: int) -> str:
    """One of these keys, whatever the number."""
    listed = list(keys)
    return listed[number % len(listed)]


TestResidencyLaws = ResidencyMachine.TestCase
TestResidencyLaws.settings = settings(stateful_step_count=30)
