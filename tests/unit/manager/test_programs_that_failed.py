"""Programs that broke a law once, as hypothesis shrank them."""

from triologue.testing import Pause, Program, Send, StartFails, Stream, check_history, run_program


def test_a_turn_that_was_merged_as_it_came_has_an_end_for_who_reads_it() -> None:
    program = Program(operations=(Send(), Send(overlap="collect"), Stream(overlap="collect"), Pause(1)), sessions=1)
    history = run_program(program)
    check_history(history)
    assert history.calls[2].error is None


def test_a_start_that_fails_is_tried_again_for_a_turn_that_is_retried() -> None:
    program = Program(operations=(Send(), Pause(9)), sessions=1, retries=True)
    history = run_program(program, faults=[StartFails(1)])
    check_history(history)
    assert [ended.outcome.kind for ended in history.outcomes().values()] == ["answered"]
