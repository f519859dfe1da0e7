"""How many lifecycle programs a second the testing kit draws, runs and checks, on one core.

Each is a whole life of a manager: opened, used by half a dozen overlapping calls, left; then every law is checked.
"""

import logging
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings

from triologue.testing import Program, check_history, run_program
from triologue.testing.strategies import programs

EXAMPLES = 500
WANTED = 100  # programs a second


def main() -> None:
    logging.disable(logging.CRITICAL)  # actors tell of each crash
    drawn: list[Program] = []
    _draw(drawn.append)
    drawing = _measure(lambda: _draw(lambda program: None))
    running = _measure(lambda: [run_program(program) for program in drawn])
    histories = [run_program(program) for program in drawn]
    checking = _measure(lambda: [check_history(history) for history in histories])
    whole = _measure(lambda: _draw(lambda program: check_history(run_program(program))))
    operations = sum(len(program.operations) for program in drawn) / len(drawn)
    print(f"{len(drawn)} programs of {operations:.1f} operations; CPU milliseconds each:")
    for what, seconds in (("drawn", drawing), ("run", running), ("checked", checking), ("all of it", whole)):
        print(f"  {what:10}{1000 * seconds / len(drawn):8.2f}")
    print(f"{len(drawn) / whole:.0f} programs a second (wanted: {WANTED})")


def _draw(use: Callable[[Program], None]) -> None:
    """Give hypothesis' programs to `use`, the same ones each time."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def test(program: Program) -> None:
        use(program)

    test()


def _measure(fn: Callable[[], object]) -> float:
    """The CPU seconds that it takes."""
    before = time.process_time()
    fn()
    return time.process_time() - before


if __name__ == "__main__":
    main()
