"""The house rules that a machine can hold: sizes, unfinished marks, and a README that is true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "src").rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    for node in nodes:  # it grows; there are none in expressions, which are most of the tree
        nodes += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_is_short_and_finished(path: Path) -> None:
    source = path.read_text("utf-8")
    long_functions = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno >= MAX_FUNCTION_LINES]
    assert long_functions == []
    assert len(source.splitlines()) <= MAX_MODULE_LINES
    assert re.findall(r"\b(?:TODO|FIXME|XXX)\b", source) == []


def test_the_readme_shows_the_quickstart_word_for_word() -> None:
    shown = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert shown == [(ROOT / "examples" / "quickstart.py").read_text("utf-8")]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "triologue" / "py.typed").is_file()
