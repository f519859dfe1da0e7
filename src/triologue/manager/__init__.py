"""The only composition root: agents, actors and the registry are put together here, and lent to callers."""

from triologue.manager.checks import check_for as check_for
from triologue.manager.controls import Controls as Controls
from triologue.manager.directory import SessionStatistics as SessionStatistics
from triologue.manager.explaining import SessionExplanation as SessionExplanation, TurnAge as TurnAge
from triologue.manager.keeping import check_store as check_store, folder_of as folder_of, latest_of as latest_of
from triologue.manager.kept import KeptSessions as KeptSessions
from triologue.manager.opening import default_agent as default_agent, open_manager as open_manager
from triologue.manager.permissions import (
    PermissionCallback as PermissionCallback,
    PermissionRequest as PermissionRequest,
)
from triologue.manager.recovering import RecoveredTurn as RecoveredTurn
from triologue.manager.session import Session as Session
from triologue.manager.sessions import ManagerStatistics as ManagerStatistics, SessionManager as SessionManager
from triologue.manager.subscription import Subscription as Subscription
