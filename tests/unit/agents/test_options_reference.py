"""`docs/reference/options.md` says which agent has which option: what the sets in the code say."""

import re
from pathlib import Path

from triologue.agents import claude_argv, cortex_argv, embedded, qoder_argv
from triologue.options import Options

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "options.md"
AGENTS = {
    "Claude Code": claude_argv.HAS,
    "Qoder": qoder_argv.HAS,
    "Cortex Code": cortex_argv.HAS,
    "built-in": embedded.HAS,
}


def rows() -> list[list[str]]:
    head = ["Option", *AGENTS]
    body = [
        [f"`{option}`", *("yes" if option in has else "no" for has in AGENTS.values())]
        for option in Options.__struct_fields__
    ]
    return [head, ["---"] * len(head), *body]


def test_the_page_shows_the_sets() -> None:
    shown = re.findall(r"^\|.*\|$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert shown == [f"| {' | '.join(row)} |" for row in rows()]
