"""Tasks from outside: what each waits for, where an error came from, and an error thrown at a task that waits."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import trio

_TRIO = str(Path(trio.__file__).parent)
_KIT = str(Path(__file__).parent)
_SHOWN_FRAMES = 3


def tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """Every task in the nurseries of this one, and so on."""
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from tasks_below(child)


def task_tree(task: trio.lowlevel.Task) -> str:
    """This task and those below it, a line each, with the places in which it waits, the innermost last."""
    return "\n".join(_tree(task, 0))


def _tree(task: trio.lowlevel.Task, depth: int) -> Iterator[str]:
    name = task.name if " " in task.name else task.name.rpartition(".")[2]
    yield f"{'  ' * depth}{name}: {_place(task)}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tree(child, depth + 1)


def _place(task: trio.lowlevel.Task) -> str:
    """Where it is in the program, and what of trio it waits in."""
    places: list[str] = []
    primitive = ""
    for frame, line in task.iter_await_frames():
        code = frame.f_code
        if code.co_filename.startswith(_TRIO):
            primitive = primitive or getattr(code, "co_qualname", code.co_name)
        elif Path(code.co_filename).name != "contextlib.py":
            places.append(f"{Path(code.co_filename).name}:{line} {code.co_name}")
            primitive = ""
    return " > ".join([*places[-_SHOWN_FRAMES:], *([primitive] if primitive else [])]) or "not begun"


def place_of(error: BaseException) -> str:
    """Where an error was raised, below what of this kit called it; of a group its first one."""
    places: list[str] = []
    part: BaseException | None = error
    while part is not None:
        frames = [each for each in traceback.extract_tb(part.__traceback__) if not _is_between(each.filename)]
        places += [f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames]
        part = part.exceptions[0] if isinstance(part, BaseExceptionGroup) else None
    shown = [places[0], "...", *places[-_SHOWN_FRAMES:]] if len(places) > _SHOWN_FRAMES + 1 else places
    return " > ".join(shown)


def _is_between(filename: str) -> bool:
    return filename.startswith((_TRIO, _KIT)) or Path(filename).name == "contextlib.py"


def throw(task: trio.lowlevel.Task, error: BaseException) -> bool:
    """Let what a task waits for raise this error; False for one that does not wait, or is in a bare checkpoint."""

    def raise_it() -> NoReturn:
        raise error

    # trio delivers a Ctrl-C to a waiting task in the same way; there is no public name for it.
    if task._abort_func is None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return False
    task._attempt_abort(raise_it)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return True
