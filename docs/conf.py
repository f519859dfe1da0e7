"""How Sphinx builds these pages: `make docs`."""

import re
from importlib.metadata import version as installed_version
from typing import Any

import trio
from sphinx.application import Sphinx

import triologue.options.options

project = "triologue"
author = "triologue contributors"
copyright = f"2026, {author}"
release = version = installed_version("triologue")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "triologue"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
copybutton_prompt_text = "$ "

# autodoc evaluates annotations; this module imports trio for type checkers only.
vars(triologue.options.options)["trio"] = trio

# Pages build without a network, so links into other projects' inventories are not resolved; what autodoc finds in
# signatures is not all public either. What our own pages refer to by a role is still checked.
nitpick_ignore_regex = [("py:.*", r".*")]
# In a signature `type` is Python's own, and not one of our fields of that name.
suppress_warnings = ["ref.python"]


def setup(app: Sphinx) -> None:
    """Run `prepare` before napoleon, whose priority is the default of 500."""
    app.connect("autodoc-process-docstring", prepare, priority=400)


def prepare(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn Markdown's single backticks into Sphinx's two, and keep a colon in a field's docstring a colon."""
    text = re.sub(r"(?<![`:])`([^`]+)`(?!`)", r"``\1``\\ ", "\n".join(lines))
    lines[:] = text.split("\n")
    if what in ("attribute", "property"):
        lines[:0] = ["..", ""]  # napoleon takes what is before a colon in the first line for a type
