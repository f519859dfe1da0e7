"""Many multi-turn agent conversations in one process, each a supervised trio actor, and none of them lost."""

from triologue.agents import ClaudeCode as ClaudeCode, Embedded as Embedded
from triologue.errors import *  # noqa: F403
from triologue.manager import Session as Session, SessionManager as SessionManager, open_manager as open_manager
from triologue.messages import *  # noqa: F403
from triologue.options import Deadlines as Deadlines, Limits as Limits, Options as Options
from triologue.ports import Agent as Agent
from triologue.sdk import Client as Client, Query as Query, query as query
