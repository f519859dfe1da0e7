"""`triologue agent`: the built-in agent as a program, in the place of a vendor's."""

import click

from triologue.standin import main


@click.command(
    "agent",
    # Its arguments are those of the vendors' programs, which are read where they are understood; `--help` too.
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Be the agent of a vendor's SDK: the built-in agent on stdin and stdout.",
)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
def agent(argv: tuple[str, ...]) -> int:
    """Be the agent of a host that speaks the protocol of Claude Code, Qoder CLI or Cortex Code.

    For SDKs that execute a path alone there is the same as one word: `triologue-agent`.
    """
    return main(argv)
