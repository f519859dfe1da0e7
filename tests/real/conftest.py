"""What the tests on real agents share."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.real_cli import CleanPlace, open_clean_place


@pytest.fixture
async def place() -> AsyncGenerator[CleanPlace]:
    async with open_clean_place() as place:
        yield place
