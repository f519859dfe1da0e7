"""The only composition root: agents, actors and the registry are put together here, and lent to callers."""

from triologue.manager.opening import default_agent as default_agent
from triologue.manager.opening import open_manager as open_manager
from triologue.manager.session import Session as Session
from triologue.manager.session import Subscription as Subscription
from triologue.manager.sessions import SessionManager as SessionManager
from triologue.manager.sessions import SessionStatistics as SessionStatistics
