"""The OS user that an agent runs as."""

import os
import pwd

from triologue.errors import AgentStartError
from triologue.ports import Account


def find_account(user: str | int | None) -> Account | None:
    """The user of this name or id; None where that is the user of this program. Asks the system, which may take long.

    Raises:
        AgentStartError: there is no such user, or this program is not root, and so cannot become another.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
    except KeyError:
        wrong = f"user={user!r}: this machine has no such user; name one that it has"
        raise AgentStartError(wrong, is_final=True) from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise AgentStartError(
            f"user={user!r}: only root may start an agent as another user, and this program runs as user "
            f"{os.geteuid()}; run it as root, or name by cli_path a script that changes the user",
            is_final=True,
        )
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, groups=tuple(groups))
