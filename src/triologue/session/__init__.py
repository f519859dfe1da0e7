"""The lifecycle of a session as small machines; pure: inputs go in, effects come out."""

from triologue.session.inputs import Setting as Setting
from triologue.session.machine import INTERRUPT as INTERRUPT
from triologue.session.machine import START as START
from triologue.session.machine import Session as Session
