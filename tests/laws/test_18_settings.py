"""Law 18: settings asked for are the settings applied after any restart."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import strategies as st

import triologue as tri
from tests.support.laws import Law, Wild, programs_of
from triologue.actors.holding import Holding
from triologue.options import Options
from triologue.session import inputs as on
from triologue.session.ground import Ground
from triologue.session.link import LinkState
from triologue.session.machine import Session
from triologue.testing import (
    Ask,
    ChangeMode,
    ChangeModel,
    CloseSession,
    Crash,
    CrashAgent,
    Fault,
    Hibernate,
    History,
    Operation,
    Pause,
    Program,
    Reset,
    ScriptedAgent,
    Send,
    UseTool,
    check_history,
    laws,
    run_program,
)
from triologue.testing.strategies import faults

LAW = Law(
    18,
    "Settings asked for are the settings applied after any restart.",
    Wild(
        "agent-of-empires#4064",
        "a respawned agent came back with the model and the mode that it was first started with",
    ),
)

SESSION = st.integers(0, 1)
MODEL = st.builds(ChangeModel, SESSION, st.sampled_from(["a", "b", "refused", None]))
MODE = st.builds(ChangeMode, SESSION, st.sampled_from(["plan", "acceptEdits"]))
# When all of it is long over: what each session has now, and what its next agent has.
PROBES: tuple[Operation, ...] = (
    *(Pause(400), Ask(0), Ask(1)),
    *(Pause(1), CrashAgent(0), CrashAgent(1), Pause(1), Ask(0), Ask(1), Pause(100)),
)
PROGRAMS = programs_of(
    MODEL,
    MODE,
    st.builds(Send, SESSION, st.sampled_from([(), (), (UseTool("Bash", seconds=3),), (Crash(),)])),
    st.one_of(*(st.builds(kind, SESSION) for kind in (CrashAgent, Hibernate, CloseSession, Reset))),
    st.builds(Pause, st.sampled_from([0.0, 1.0, 3.0, 130.0])),
    sessions=2,
    last=PROBES,
    retries=st.booleans(),
    max_live=st.sampled_from([None, 1]),
    tells_lifecycle=st.booleans(),
)
CASES = st.tuples(PROGRAMS, faults() | st.just(()), st.sampled_from([0.0, 2.0]), st.booleans())


@LAW.holds(CASES)
def test_settings_asked_for_are_applied(case: tuple[Program, tuple[Fault, ...], float, bool]) -> None:
    """Models and modes are set at rest, while the agent starts, works, leaves; agents crash, hang, are evicted, let go: each
    prompt meets what was set last, and so does the first one of the next agent."""
    program, wrong, start_seconds, refuses = case
    agent = ScriptedAgent(start_seconds=start_seconds, tells_lifecycle=program.tells_lifecycle)
    agent.refuses = {"refused"} if refuses else set()
    first = Options(model="first", permission_mode="default")
    patient = tri.RestartPolicy(max_restarts=1_000, retry_turn=program.retries)
    with given_up() as names:
        history = run_program(program, agent=agent, faults=wrong, options=first, restart=patient)

    def settings(history: History) -> Iterator[str]:
        """Each prompt meets what was set last, but for a setting that was given up: two agents died of it."""
        for complaint in laws.settings(history):
            if not any(f"the {'mode' if name == 'permission_mode' else name} " in complaint for name in names):
                yield complaint

    def probes(history: History) -> Iterator[str]:
        """What is asked long after all of it meets the last change that was not refused."""
        for call in [call for call in history.calls_of(Ask) if call.number >= len(program.operations) - len(PROBES)]:
            for prompt in (prompt for prompt in agent.prompts if prompt.text == f"m{call.number}."):
                met = {"model": prompt.model, "permission_mode": prompt.permission_mode}
                for name, value in last_settings(history, history.key_of(call)).items():
                    if name not in names and met[name] != value:
                        yield f"{prompt.text} met {name}={met[name]!r}, and {value!r} was asked for"

    check_history(history, (settings, probes))


@LAW.broken_by
def a_setting_is_told_to_who_is_there(patch: pytest.MonkeyPatch) -> None:
    """The agent that is there is told of a change, and nobody else."""
    patch.setattr(Ground, "agree", lambda *_: None)
    change = Session.change

    def tell(self: Session, event: on.Change) -> None:
        wanted = self.wanted
        change(self, event)
        if self.link.state is LinkState.READY:
            self.wanted = wanted

    patch.setattr(Session, "change", tell)


@LAW.broken_by
def a_restart_begins_as_the_first_start_did(patch: pytest.MonkeyPatch) -> None:
    """An agent is started with the options of its session."""
    launch = Holding._launch_options

    def launch_at_first(self: Holding) -> Options:
        options = launch(self)
        options.model = self._conversation.options.model
        return options

    patch.setattr(Holding, "_launch_options", launch_at_first)


@LAW.broken_by
def a_setting_for_a_start_is_late(patch: pytest.MonkeyPatch) -> None:
    """What is set while an agent starts is kept for the one after it."""
    change = Session.change

    def keep(self: Session, event: on.Change) -> None:
        change(self, event)
        self.keep_changes()

    patch.setattr(Session, "change", keep)


@contextmanager
def given_up() -> Iterator[set[str]]:
    """The settings that sessions gave up in this block."""
    names: set[str] = set()
    give_up = Ground.give_up_doubtful

    def watched(self: Ground) -> None:
        names.update(self.doubtful)
        give_up(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ground, "give_up_doubtful", watched)
        yield names


def last_settings(history: History, key: str | None) -> dict[str, str | None]:
    """What was asked for last, and taken."""
    last: dict[str, str | None] = {"model": "first", "permission_mode": "default"}
    for call in history.calls_of(ChangeModel, ChangeMode):
        if history.key_of(call) == key and call.error is None:
            match call.operation:
                case ChangeModel(model=model):
                    last["model"] = model
                case ChangeMode(mode=mode):
                    last["permission_mode"] = mode
                case _:
                    pass
    return last
