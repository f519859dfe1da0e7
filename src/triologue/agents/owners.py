"""Names of hosts that write to sessions: for people, and so that another host knows one that is dead."""

import os
import re
import socket
from uuid import uuid4

from triologue.agents.marks import Mark, own_mark, pid_space
from triologue.agents.runtime import program_name

_NAME = re.compile(r", pid (?P<pid>\d+) \[(?P<start>.*)@(?P<space>.*)#\w+\]$", re.DOTALL)


def new_owner() -> str:
    """A name for one manager of this process, as in `bot.py on web-1, pid 4711 [...]`."""
    mark = own_mark()
    return (
        f"{program_name()} on {socket.gethostname()}, pid {os.getpid()} [{mark.start}@{pid_space()}#{uuid4().hex[:8]}]"
    )


def is_dead(owner: str) -> bool:
    """Is it known that this host is dead? Only one on the same machine can be known."""
    told = _NAME.search(owner)
    if told is None or told["space"] != pid_space():
        return False
    return not Mark(int(told["pid"]), told["start"]).is_alive
