"""What the program says about itself."""

from importlib.metadata import PackageNotFoundError, version

from triologue.standin.dialects import DIALECTS
from triologue.standin.flags import GRAMMARS

_ABOUT = """\
Usage: {program} [options]

The built-in agent of triologue on stdin and stdout, in the place of `{program}`:
one JSON frame a line, both ways. Input ends with the end of file, and then the
agent finishes what it was asked and exits.

Its model is offline unless a script is named, by --script or $TRIOLOGUE_SCRIPT.
--dialect claude|qoder|cortex says whose flags and frames these are; else the
flags tell, and the variables that the vendors' SDKs set.

Options:
"""


def help_text(dialect: str) -> str:
    """The help, with the flags of this dialect."""
    lines = (f"  {declared}" for declared in GRAMMARS[dialect].declarations())
    return _ABOUT.format(program=DIALECTS[dialect].program) + "\n".join(lines) + "\n"


def version_text(dialect: str) -> str:
    """The version of the program that it stands in for comes first, where SDKs look for it."""
    try:
        own = version("triologue")
    except PackageNotFoundError:
        own = "unknown"
    return f"{DIALECTS[dialect].version} (triologue {own})\n"
