"""The page says what the programs show, no more and no less."""

from tests.foreign.page import PAGE, suites, whole
from tests.foreign.table import FEATURES


def test_every_feature_is_shown_or_it_is_said_why_not() -> None:
    for suite in suites():
        told = sorted([*suite.programs, *suite.missing, *suite.failing])
        assert told == sorted(FEATURES), suite.package


def test_the_page_is_made_from_the_programs() -> None:
    assert PAGE.read_text("utf-8") == whole(), "run python -m tests.foreign.page"
