"""The page of the laws says what the tests are."""

from tests.laws.page import PAGE, whole


def test_the_page_is_made_from_the_tests() -> None:
    assert PAGE.read_text("utf-8") == whole(), "run python -m tests.laws.page"
