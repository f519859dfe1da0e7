"""The lifecycle of a session as small machines; pure: inputs go in, effects come out."""

from triologue.session.ground import INTERRUPT as INTERRUPT, START as START
from triologue.session.inputs import Setting as Setting
from triologue.session.machine import Session as Session
