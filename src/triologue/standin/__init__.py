"""The built-in agent as a program on stdio, in the place of a vendor's."""

from triologue.standin.program import main as main
