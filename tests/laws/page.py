"""The page that lists the laws: `python -m tests.laws.page` writes its table anew."""

from pathlib import Path

from tests.support.laws import Law, Wild, load_laws

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "laws.md"
BEGINNING = "<!-- The table is made from the tests: python -m tests.laws.page -->\n"


def render() -> str:
    """The table."""
    lines = ["| | law | test | mutant that breaks it | in the wild |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, load_laws())]) + "\n"


def _row(law: Law) -> str:
    mutants = "<br>".join(f"`{mutant.name}`: {_line(mutant.told)}" for mutant in law.mutants)
    wild = "<br>".join(map(_bug, law.wild))
    return f"| {law.number} | {law.text} | `{law.test}`: {_line(law.told)} | {mutants} | {wild} |"


def _bug(bug: Wild) -> str:
    name = f"[{bug.name}]({bug.url})" if bug.url is not None else bug.name
    return f"{name}: {bug.told}"


def _line(told: str) -> str:
    return " ".join(told.split())


def whole() -> str:
    """The page with this table."""
    return PAGE.read_text("utf-8").partition(BEGINNING)[0] + BEGINNING + "\n" + render()


if __name__ == "__main__":
    PAGE.write_text(whole(), "utf-8")
