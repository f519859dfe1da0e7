"""The `trio.run` that a manager was opened in: what waits for something of it in another one would break both."""

import trio


def refuse_elsewhere(loop: trio.lowlevel.TrioToken) -> None:
    """Serve only this loop.

    Raises:
        RuntimeError: this is called in another one, or in none.
    """
    if not trio.lowlevel.in_trio_run() or trio.lowlevel.current_trio_token() is not loop:
        raise RuntimeError(
            "this manager, with its sessions and turns, belongs to the trio.run in which it was opened; from another "
            "thread call trio.from_thread.run(session.ask, prompt, trio_token=...), with that run's token"
        )
