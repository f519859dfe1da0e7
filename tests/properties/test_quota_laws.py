"""The laws of the gate before an account: no storm, nobody overtaken, nobody waits for ever."""

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from triologue.session.usage_limits import LimitReached
from triologue.supervision.gate import MAX_BACKOFF, MAX_SLICE, PROBE_PATIENCE, SLICE_EVERY
from triologue.supervision.quota import Effect, QuotaGate

ACCOUNTS = ["mine", "yours"]


class QuotaMachine(RuleBasedStateMachine):
    """Sessions that ask before each turn, and an account that may be used up at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = QuotaGate()
        self.now = 1_764_000_000.0
        self.count = 0
        self.waiting: dict[str, list[str]] = {account: [] for account in ACCOUNTS}
        self.running: dict[str, list[str]] = {account: [] for account in ACCOUNTS}
        self.closed_until = dict.fromkeys(ACCOUNTS, 0.0)
        """No turn may begin before: what the last limit named."""

    @rule(account=st.sampled_from(ACCOUNTS), many=st.integers(1, 12))
    def ask(self, account: str, many: int) -> None:
        for _ in range(many):
            self.count += 1
            key = f"k{self.count}"
            self.waiting[account].append(key)
            self.do(self.gate.ask(account, key, now=self.now))

    @rule(account=st.sampled_from(ACCOUNTS), pick=st.integers(0, 50))
    def withdraw(self, account: str, pick: int) -> None:
        if self.waiting[account]:
            key = self.waiting[account].pop(pick % len(self.waiting[account]))
            self.do(self.gate.withdraw(account, key, now=self.now))

    @rule(account=st.sampled_from(ACCOUNTS), pick=st.integers(0, 50), how=st.sampled_from(["passed", "withdraw"]))
    def end(self, account: str, pick: int, how: str) -> None:
        if self.running[account]:
            key = self.running[account].pop(pick % len(self.running[account]))
            self.do(getattr(self.gate, how)(account, key, now=self.now))

    @rule(account=st.sampled_from(ACCOUNTS), pick=st.integers(0, 50), wait=st.none() | st.integers(-10, 4000))
    def hit_the_limit(self, account: str, pick: int, wait: int | None) -> None:
        if self.running[account]:
            key = self.running[account].pop(pick % len(self.running[account]))
            named = None if wait is None else self.now + wait
            assert self.gate.limited(account, key, LimitReached("used up", named), now=self.now) == []
            least = named if named is not None and named > self.now else self.now
            self.closed_until[account] = max(self.closed_until[account], least)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.gate.tick(now=self.now))

    @precondition(lambda self: self.gate.next_time() is not None)
    @rule()
    def go_on(self) -> None:
        due = self.gate.next_time()
        assert due is not None
        self.now = max(self.now, due)
        self.do(self.gate.tick(now=self.now))

    def teardown(self) -> None:
        """Everyone has their turn, once turns go well again, and within a time that can be told."""
        turns = sum(map(len, self.waiting.values()))
        patience = max(MAX_BACKOFF, *(until - self.now for until in self.closed_until.values()))
        last = self.now + patience + PROBE_PATIENCE + SLICE_EVERY * (turns + 1)
        while (due := self.gate.next_time()) is not None:
            self.now = max(self.now, due)
            assert self.now <= last
            self.do(self.gate.tick(now=self.now))
            for account in ACCOUNTS:
                while self.running[account]:
                    self.do(self.gate.passed(account, self.running[account].pop(), now=self.now))
        assert self.waiting == {account: [] for account in ACCOUNTS}

    def do(self, effects: list[Effect]) -> None:
        for account in ACCOUNTS:
            keys = [effect.key for effect in effects if effect.credential == account]
            assert len(keys) <= MAX_SLICE
            assert keys == self.waiting[account][: len(keys)], "one was overtaken"
            assert not keys or self.now >= self.closed_until[account], "a turn began before the reset"
            del self.waiting[account][: len(keys)]
            self.running[account] += keys
            for index, key in enumerate(self.waiting[account][:2]):
                held = self.gate.why(account, key)
                assert held is not None
                assert held.before == index


TestQuotaLaws = QuotaMachine.TestCase
TestQuotaLaws.settings = settings(stateful_step_count=30)
