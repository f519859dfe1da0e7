"""What is over, and that nobody needs any more, is in memory no more."""

import gc

from triologue.testing import ScriptedAgent


def let_go(agent: ScriptedAgent) -> None:
    """Forget connections that are gone, which the agent keeps for tests to look at, and handles, which are in cycles."""
    agent.connections[:] = [each for each in agent.connections if not each.is_gone]
    gc.collect()
