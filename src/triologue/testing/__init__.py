"""What programs built on triologue test themselves with; nothing here runs an agent's program or a model.

Importing this imports neither pytest nor hypothesis. What is drawn by hypothesis is in `triologue.testing.strategies`,
fixtures are in `triologue.testing.plugin`; both need the extra `testing`.
"""

from triologue.testing import asserts as _asserts  # noqa: F401 - before what it is about  # pyright: ignore[reportUnusedImport]
from triologue.testing.agent_state import (
    AgentStart as AgentStart,
    AgentStop as AgentStop,
    HeardPrompt as HeardPrompt,
    KeptConversation as KeptConversation,
)
from triologue.testing.agents import AgentBroken as AgentBroken, check_agent as check_agent
from triologue.testing.faults import (
    CancelAt as CancelAt,
    CrashTask as CrashTask,
    Fault as Fault,
    InjectedCrash as InjectedCrash,
    ReadFails as ReadFails,
    StartFails as StartFails,
    StartHangs as StartHangs,
    WriteFails as WriteFails,
    with_faults as with_faults,
)
from triologue.testing.history import (
    Call as Call,
    Complaint as Complaint,
    History as History,
    LawBroken as LawBroken,
    Seen as Seen,
)
from triologue.testing.laws import LAWS as LAWS, Law as Law, check_history as check_history
from triologue.testing.machine import (
    SessionMachine as SessionMachine,
    invariant as invariant,
    operation as operation,
    own as own,
)
from triologue.testing.operations import (
    AnswerPermission as AnswerPermission,
    Ask as Ask,
    BeginOwnTurn as BeginOwnTurn,
    Cancelling as Cancelling,
    CancelTurn as CancelTurn,
    ChangeMode as ChangeMode,
    ChangeModel as ChangeModel,
    CloseSession as CloseSession,
    CrashAgent as CrashAgent,
    Fork as Fork,
    Hibernate as Hibernate,
    InterruptSession as InterruptSession,
    Operation as Operation,
    Pause as Pause,
    Reset as Reset,
    Send as Send,
    Stream as Stream,
)
from triologue.testing.programs import (
    DEADLINES as DEADLINES,
    Program as Program,
    run_program as run_program,
)
from triologue.testing.script import (
    ApiError as ApiError,
    Background as Background,
    CallHost as CallHost,
    Crash as Crash,
    Deaf as Deaf,
    Fail as Fail,
    Line as Line,
    Oversize as Oversize,
    RateLimit as RateLimit,
    Say as Say,
    Script as Script,
    Stall as Stall,
    Step as Step,
    Unread as Unread,
    UseTool as UseTool,
    Wait as Wait,
    echo as echo,
)
from triologue.testing.scripted_agent import ScriptedAgent as ScriptedAgent
from triologue.testing.scripted_connection import ScriptedConnection as ScriptedConnection
from triologue.testing.stage import Stage as Stage
from triologue.testing.store_faults import StoreFails as StoreFails, with_store_faults as with_store_faults
from triologue.testing.stores import SessionStoreContract as SessionStoreContract
from triologue.testing.turn import AgentTurn as AgentTurn
from triologue.testing.virtual import Hung as Hung, run_virtual as run_virtual
