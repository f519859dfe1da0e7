"""The lifecycle of a session as small machines; pure: inputs go in, effects come out."""

from triologue.session.inputs import Setting as Setting
from triologue.session.machine import INTERRUPT as INTERRUPT, START as START, Session as Session
