"""Is it an agent that a session can rely on? And does the program say what it should?"""

import pytest
from trio.testing import MockClock

from examples.agents.notes import Notes, main
from triologue.testing import check_agent


async def test_notes_is_an_agent(autojump_clock: MockClock) -> None:
    await check_agent(Notes(), prompt="Note: buy milk", long_prompt="What is there to do?")


async def test_the_program(capsys: pytest.CaptureFixture[str], autojump_clock: MockClock) -> None:
    await main()
    assert capsys.readouterr().out.splitlines() == [
        "['buy ', 'milk ', 'and ', 'call ', 'Bob ']",
        "the turn failed (error_during_execution): PermissionError('That is no note.')",
        "stopped interrupted",
        "buy milk and call Bob (resumed)",
    ]
