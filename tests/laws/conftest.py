"""For the tests of the laws."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Actors tell of each crash in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
