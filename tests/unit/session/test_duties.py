"""What the agent asks of us: permissions, callbacks, and everything that ends one of them."""

from tests.support.frames import aborted, init, lifecycle, result, success
from tests.unit.session.stage import Stage, ready, running
from triologue.errors import AgentCrashed, AlreadyAnswered, InvalidOption
from triologue.messages import (
    AnyRequest,
    CanUseTool,
    ControlCancel,
    ControlRequest,
    Elicitation,
    FetchJobToken,
    HookCallback,
    Initialize,
    McpMessage,
    McpToolCall,
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
)
from triologue.session import effects as do, inputs as on
from triologue.session.duties import REMEMBERED_ANSWERS
from triologue.session.serving import EXPIRED

ALLOW, DENY = PermissionResultAllow(), PermissionResultDeny(message="no")
HOOK = HookCallback(callback_id="hook_0", input={})


def mcp(method: str) -> McpMessage:
    return McpMessage(server_name="s", message={"jsonrpc": "2.0", "id": 1, "method": method})


def decide(
    ticket: int | None = 1, result: PermissionResult = ALLOW, id: str = "p-1", by: str | None = None
) -> on.Decide:
    return on.Decide(ticket, id, result, by)


def error_of(stage: Stage, event: on.Input) -> Exception | None:
    return next(each.error for each in stage.session.receive(event) if isinstance(each, do.Answer))


# Permissions.


def test_a_permission_is_asked_and_allowed() -> None:
    stage = running("a")
    assert stage.asks("x") == ["a: asked p-1", "timer permission 1 p-1", "ask 1: x p-1 a Bash"]
    assert stage.receive(decide(by="ada")) == [
        "send 1: to x {'behavior': 'allow', 'updatedInput': {}}",
        "clear permission p-1",
        "a: answered p-1 allow",
        "settled p-1: allow by ada",
        "answer 1: None",
    ]
    assert len(stage.session.duties) == 0


def test_a_denial_is_a_denial_also_when_it_stops_the_turn() -> None:
    stage = running("a")
    stage.asks("x")
    assert stage.receive(decide(None, PermissionResultDeny(message="no", interrupt=True)))[0] == (
        "send 1: to x {'behavior': 'deny', 'message': 'no', 'interrupt': True}"
    )
    assert stage.session.state == "running"
    assert "settle a: failed TurnFailed" in stage.hear(aborted("a"))


def test_a_permission_is_answered_once() -> None:
    stage = running("a")
    stage.asks("x")
    stage.receive(decide(by="ada"))
    error = error_of(stage, decide(2, DENY, by="bob"))
    assert isinstance(error, AlreadyAnswered)
    assert (error.by, error.answer) == ("ada", "allow")
    assert str(error) == "this permission request is settled: it was allowed by 'ada'"
    assert stage.receive(decide(None, DENY)) == []  # a callback that was slower
    assert stage.receive(decide(3, id="never")) == ["answer 3: AlreadyAnswered"]


def test_an_answer_that_cannot_be_said_leaves_the_request_open() -> None:
    stage = running("a")
    stage.asks("x")
    wrong = PermissionResultAllow(updated_input={"who": object()})
    error = error_of(stage, decide(1, wrong))
    assert isinstance(error, InvalidOption)
    assert stage.receive(decide(2))[0] == "send 1: to x {'behavior': 'allow', 'updatedInput': {}}"
    stage.asks("y")
    assert stage.receive(decide(None, wrong, "p-2"))[1:] == [
        "a: failed can_use_tool (Encoding objects of type object is unsupported)",
        "clear permission p-2",
        "a: answered p-2 failed",
        "settled p-2: failed",
    ]


def test_a_permission_that_nobody_answers_is_denied_with_the_reason() -> None:
    stage = running("a")
    stage.asks("x")
    assert "Deadlines.permission" in EXPIRED
    assert stage.expire("permission", about="p-1") == [
        f"send 1: to x {{'behavior': 'deny', 'message': {EXPIRED!r}}}",
        "drop 1: x",
        "clear permission p-1",
        "a: answered p-1 expired",
        "settled p-1: expired",
    ]
    error = error_of(stage, decide())
    assert isinstance(error, AlreadyAnswered)
    assert str(error) == "this permission request is settled: it is expired"
    assert stage.expire("permission", about="p-1") == []


def test_a_permission_that_the_agent_takes_back() -> None:
    stage = running("a")
    stage.asks("x")
    assert stage.hear(ControlCancel(request_id="x")) == [
        "drop 1: x",
        "clear permission p-1",
        "a: answered p-1 cancelled",
        "settled p-1: cancelled",
    ]
    assert stage.receive(decide()) == ["answer 1: AlreadyAnswered"]
    assert stage.hear(ControlCancel(request_id="x")) == ["note"]


def test_a_permission_belongs_to_the_turn_that_runs_or_to_none() -> None:
    stage = running("a")
    stage.hear(result("a"), lifecycle("a", "completed"), init())
    assert stage.asks("x")[0] == "-: asked p-1"
    stage.submit("b")
    stage.hear(lifecycle("b", "started"))
    assert stage.asks("y")[0] == "b: asked p-2"
    stage.hear(result("b"))
    # A sub-agent goes on when its turn is over, and nothing of a turn follows its outcome.
    assert stage.receive(decide(1, id="p-2"))[2] == "-: answered p-2 allow"


def test_a_permission_is_the_first_sign_of_a_turn_for_an_agent_that_tells_nothing() -> None:
    stage = Stage()
    stage.submit("a")
    stage.begin(lifecycle=False)
    assert stage.asks("x")[0] == "a: asked p-1"


def test_only_so_many_answers_are_remembered() -> None:
    stage = running("a")
    for number in range(REMEMBERED_ANSWERS + 1):
        stage.asks(str(number))
        stage.receive(decide(None, id=f"p-{number + 1}", by="ada"))
    errors = [error_of(stage, decide(1, id=id)) for id in ("p-1", "p-2")]
    assert [getattr(each, "by", "?") for each in errors] == [None, "ada"]


# Callbacks.


def test_a_request_is_served_and_answered_once() -> None:
    stage = running("a")
    assert stage.asks("x", HOOK) == ["serve 1: x hook_callback"]
    assert stage.receive(on.Served(1, "x", {"continue": True})) == ["send 1: to x {'continue': True}"]
    assert stage.receive(on.Served(1, "x", {})) == []
    assert stage.receive(on.Failed(1, "x", "late")) == []


def test_a_callback_that_raises_is_an_error_for_the_agent_and_an_event() -> None:
    stage = running("a")
    stage.asks("x", HOOK)
    assert stage.receive(on.Failed(1, "x", "boom")) == ["send 1: to x 'boom'", "a: failed hook_callback (boom)"]
    stage.asks("y")
    assert stage.receive(on.Failed(1, "y", "boom", "my_code")) == [
        "send 1: to y 'boom' my_code",
        "a: failed can_use_tool (boom)",
        "clear permission p-1",
        "a: answered p-1 failed",
        "settled p-1: failed",
    ]
    assert stage.session.state == "running"


def test_what_nobody_can_do_is_refused() -> None:
    stage = running("a")
    stage.asks("x", Elicitation(mcp_server_name="s", message="?"))
    assert stage.receive(on.Failed(1, "x", "nobody", "unsupported_request")) == [
        "send 1: to x 'nobody' unsupported_request"
    ]


def test_requests_are_served_while_the_agent_starts() -> None:
    stage = Stage()
    stage.submit("a")
    stage.receive(on.Admitted(1))
    stage.receive(on.Linked(1, Initialize()))
    assert stage.asks("t", FetchJobToken(reason="initial")) == ["serve 1: t fetch_job_token"]
    assert stage.asks("m", mcp("initialize")) == ["serve 1: m mcp_message"]
    assert stage.receive(on.Served(1, "m", {"mcp_response": {}})) == ["send 1: to m {'mcp_response': {}}"]
    assert stage.hear(success("g1_1"))[0] == "clear start"
    assert stage.receive(on.Served(1, "t", {"token": "t"})) == ["send 1: to t {'token': 't'}"]


# Ends.


def test_an_interrupt_cancels_what_the_turn_asked_for_and_nothing_else() -> None:
    stage = running("a")
    asked: dict[str, AnyRequest] = {
        "permission": CanUseTool(tool_name="Bash", input={}),
        "hook": HOOK,
        "tool": mcp("tools/call"),
        "cortex": McpToolCall(server_name="s", tool_name="t", arguments={}),
        "form": Elicitation(mcp_server_name="s", message="?"),
        "token": FetchJobToken(reason="expiring"),
        "handshake": mcp("initialize"),
    }
    for request_id, request in asked.items():
        stage.asks(request_id, request)
    assert stage.receive(on.StopTurn(1)) == [
        "send 1: Interrupt g1_2 cancel_queued=True",
        "timer interrupt 1",
        "drop 1: permission",
        "clear permission p-1",
        "a: answered p-1 cancelled",
        "settled p-1: cancelled",
        "drop 1: hook",
        "drop 1: tool",
        "drop 1: cortex",
        "drop 1: form",
        "-: interrupting",
    ]
    assert stage.receive(on.Served(1, "hook", {})) == []
    assert stage.receive(decide()) == ["answer 1: AlreadyAnswered"]
    assert stage.receive(on.Served(1, "token", {"token": "t"})) == ["send 1: to token {'token': 't'}"]


def test_what_is_asked_while_the_interrupt_is_on_its_way_is_not_begun() -> None:
    stage = running("a")
    stage.receive(on.StopTurn(1))
    assert stage.asks("x") == ["note"]
    assert stage.asks("y", mcp("initialize")) == ["serve 1: y mcp_message"]
    assert len(stage.session.duties) == 1


def test_closing_cancels_everything_and_nothing_is_sent_afterwards() -> None:
    stage = running("a")
    stage.hear(result("a"))
    stage.asks("x")
    stage.asks("y", FetchJobToken(reason="expiring"))
    assert stage.receive(on.Rest(1)) == [
        "drop 1: x",
        "clear permission p-1",
        "-: answered p-1 cancelled",
        "settled p-1: cancelled",
        "drop 1: y",
        "stop 1: end of input",
        "-: hibernated",
    ]
    assert stage.receive(on.Served(1, "y", {})) == []
    assert stage.asks("z") == ["note"]
    assert stage.gone() == ["clear start", "clear interrupt", "answer 1: None"]


def test_the_death_of_the_agent_cancels_everything() -> None:
    stage = running("a")
    stage.asks("x")
    assert stage.gone(AgentCrashed("it died"))[2:6] == [
        "drop 1: x",
        "clear permission p-1",
        "a: answered p-1 cancelled",
        "settled p-1: cancelled",
    ]
    assert stage.receive(on.Served(1, "x", {})) == []
    assert stage.receive(on.Failed(1, "x", "late")) == []


def test_what_was_asked_by_one_agent_is_never_answered_to_the_next() -> None:
    stage = running("a", "b")
    stage.asks("x")
    stage.gone(AgentCrashed("it died"))
    stage.begin()
    stage.hear(lifecycle("b", "started"))
    assert stage.asks("x")[0] == "b: asked p-2"
    assert stage.receive(on.Served(1, "x", {})) == []
    assert stage.receive(on.Failed(1, "x", "late")) == []
    assert stage.receive(decide()) == ["answer 1: AlreadyAnswered"]
    assert stage.expire("permission", 1, about="p-2") == []
    assert stage.receive(decide(id="p-2"))[0].startswith("send 2: to x")


def test_two_requests_with_one_id() -> None:
    stage = ready("a")
    stage.asks("x", HOOK)
    assert stage.hear(ControlRequest(request_id="x", request=HOOK)) == ["note"]
    assert stage.receive(on.Served(1, "x", {}))[0] == "send 1: to x {}"
