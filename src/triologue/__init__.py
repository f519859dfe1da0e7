"""Many multi-turn agent conversations in one process, each a supervised trio actor, and none of them lost."""

from triologue.agents import ClaudeCode as ClaudeCode
from triologue.agents import Embedded as Embedded
from triologue.errors import *  # noqa: F403
from triologue.manager import Session as Session
from triologue.manager import SessionManager as SessionManager
from triologue.manager import open_manager as open_manager
from triologue.messages import *  # noqa: F403
from triologue.options import Deadlines as Deadlines
from triologue.options import Limits as Limits
from triologue.options import Options as Options
from triologue.sdk import Client as Client
from triologue.sdk import Query as Query
from triologue.sdk import query as query
