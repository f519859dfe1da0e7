"""Two ends of a dialogue that ask, answer, withdraw, repeat themselves and hang up at random."""

from collections import Counter, deque

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from triologue.messages import ControlFrame, ControlRequest, Interrupt, Request, SetModel
from triologue.wire import Answered, Asked, Dialogue, Ignored, Refused, Withdrawn

ENDS = st.sampled_from(["host", "agent"])
OTHER = {"host": "agent", "agent": "host"}
REQUESTS: st.SearchStrategy[Request] = st.sampled_from([Interrupt(), SetModel(model="m")])


class TwoEnds(RuleBasedStateMachine):
    """Frames arrive in order; how each of our requests ended is counted."""

    questions: Bundle[tuple[str, str]] = Bundle("questions")
    owed: Bundle[tuple[str, str]] = Bundle("owed")

    def __init__(self) -> None:
        super().__init__()
        self.ends = {"host": Dialogue("h"), "agent": Dialogue("a")}
        self.wires: dict[str, deque[ControlFrame]] = {"host": deque(), "agent": deque()}  # by the end that reads
        self.asked: dict[str, set[str]] = {"host": set(), "agent": set()}
        self.settled: dict[str, Counter[str]] = {"host": Counter(), "agent": Counter()}
        self.withdrawn: dict[str, set[str]] = {"host": set(), "agent": set()}
        self.answers: dict[str, Counter[str]] = {"host": Counter(), "agent": Counter()}
        self.closed: set[str] = set()

    def send(self, end: str, frame: ControlFrame | None) -> None:
        if frame is not None:
            assert end not in self.closed, "nothing is sent after close"
            self.wires[OTHER[end]].append(frame)

    @rule(target=questions, end=ENDS, request=REQUESTS)
    def ask(self, end: str, request: Request) -> tuple[str, str]:
        try:
            frame = self.ends[end].ask(request)
        except ConnectionError:
            assert end in self.closed
            return end, "never asked"
        assert frame.request_id not in self.asked[end]
        self.asked[end].add(frame.request_id)
        self.send(end, frame)
        return end, frame.request_id

    @rule(question=questions)
    def withdraw(self, question: tuple[str, str]) -> None:
        end, request_id = question
        frame = self.ends[end].withdraw(request_id)
        if frame is not None:
            self.withdrawn[end].add(request_id)
            self.settled[end][request_id] += 1
        self.send(end, frame)

    @precondition(lambda self: any(self.wires.values()))
    @rule(target=owed, end=ENDS, again=st.booleans())
    def hear(self, end: str, again: bool) -> tuple[str, str]:
        """Take in the next frame; with `again`, it stays on the wire as a duplicate."""
        if not self.wires[end]:
            end = OTHER[end]
        frame = self.wires[end][0] if again else self.wires[end].popleft()
        waiting, owing = self.ends[end].asked, self.ends[end].owed
        match self.ends[end].hear(frame):
            case Answered(request_id=request_id) | Refused(request_id=request_id):
                assert request_id in waiting
                self.settled[end][request_id] += 1
            case Asked(request_id=request_id, request=request):
                assert isinstance(frame, ControlRequest)
                assert request == frame.request
                assert request_id not in owing
                return end, request_id
            case Withdrawn(request_id=request_id):
                assert request_id in owing
                assert request_id in self.withdrawn[OTHER[end]]
            case Ignored():
                assert (self.ends[end].asked, self.ends[end].owed) == (waiting, owing)
        return end, "nothing"

    @rule(debt=owed, refuse=st.booleans())
    def answer(self, debt: tuple[str, str], refuse: bool) -> None:
        end, request_id = debt
        is_owed = request_id in self.ends[end].owed
        frame = self.ends[end].refuse(request_id, "no") if refuse else self.ends[end].answer(request_id, {})
        assert (frame is not None) == is_owed
        self.send(end, frame)

    @rule(debt=consumes(owed))
    def forget(self, debt: tuple[str, str]) -> None:
        """Never answer this one."""

    @rule(end=ENDS)
    def close(self, end: str) -> None:
        waiting = self.ends[end].asked
        lost = self.ends[end].close()
        assert set(lost) == waiting
        self.closed.add(end)
        self.settled[end].update(lost)

    @invariant()
    def each_question_is_open_or_settled_exactly_once(self) -> None:
        for name, end in self.ends.items():
            assert set(self.settled[name]) | end.asked == self.asked[name]
            assert not set(self.settled[name]) & end.asked
            assert set(self.settled[name].values()) <= {1}
            if name in self.closed:
                assert end.asked == end.owed == frozenset()

    def teardown(self) -> None:
        """When both hang up, nothing waits any more."""
        for name, end in self.ends.items():
            self.settled[name].update(end.close())
            assert self.settled[name] == Counter(self.asked[name])


TestTwoEnds = TwoEnds.TestCase
