"""The lifecycle of a session as small machines; pure: inputs go in, effects come out."""

from triologue.session.ground import (
    CONCLUDE as CONCLUDE,
    CONTROL as CONTROL,
    IDLE as IDLE,
    INTERRUPT as INTERRUPT,
    MAX_AGE as MAX_AGE,
    PERMISSION as PERMISSION,
    START as START,
)
from triologue.session.inputs import (
    NO_SETTINGS as NO_SETTINGS,
    Setting as Setting,
    Settings as Settings,
    settings_changed as settings_changed,
)
from triologue.session.machine import Session as Session
from triologue.session.peer import UNSUPPORTED as UNSUPPORTED
from triologue.session.restarts import Restarts as Restarts
from triologue.session.sampling import LogSampler as LogSampler
from triologue.session.usage_limits import limit_of as limit_of
from triologue.session.watch import FIRST_EVENT as FIRST_EVENT, SILENCE as SILENCE, TOOL as TOOL, TURN as TURN
