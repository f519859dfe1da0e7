"""Commands whose errors of usage say whose they are."""

from typing import final

import click


class _Telling(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same; click's parser leaves the command out of an error, where an option lacks its value."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise


@final
class TellingCommand(_Telling):
    """A command whose errors of usage have its context."""


@final
class TellingGroup(_Telling, click.Group):
    """A group of such commands, and such a one itself."""

    command_class = TellingCommand
