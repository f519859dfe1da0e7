"""A batch that nobody watches: a time for each turn, each outcome by its kind, and numbers in the log."""

import logging

import trio

import triologue as tri

logger = logging.getLogger("overnight")
JOBS = {"build": "Fail with 529: overloaded", "docs": "Say the docs are fine", "tests": "Wait 3600 seconds"}
PATIENCE = 600  # seconds for a turn


async def work(session: tri.Session, prompt: str) -> str:
    turn = await session.send(prompt)
    with trio.move_on_after(PATIENCE):
        await turn.wait()
    outcome = await turn.cancel()  # stops a turn that is not over yet; every turn has an outcome
    if isinstance(outcome.error, tri.TurnFailed) and isinstance(outcome.error.__cause__, tri.AgentNotFound):
        raise outcome.error.__cause__  # the other jobs would get no further
    if outcome.kind == "answered":
        return outcome.unwrap().result or ""
    return f"{outcome.kind}: {outcome.error}"


async def log_numbers(manager: tri.SessionManager) -> None:
    while True:
        await trio.sleep(60)
        logger.info("%s", manager.statistics())


async def main(agent: tri.Agent | None = None, jobs: dict[str, str] = JOBS) -> None:
    logging.basicConfig(level=logging.INFO)  # triologue logs under "triologue"
    reports: dict[str, str] = {}

    async def hold(key: str, prompt: str) -> None:
        reports[key] = await work(manager.session(key), prompt)

    async with tri.open_manager(agent, deadlines=tri.Deadlines(drain=60)) as manager, trio.open_nursery() as watching:
        watching.start_soon(log_numbers, manager)
        async with trio.open_nursery() as nursery:
            for key, prompt in jobs.items():
                nursery.start_soon(hold, key, prompt)
        watching.cancel_scope.cancel()
    for key, report in sorted(reports.items()):
        print(f"{key}: {report}")


if __name__ == "__main__":
    trio.run(main)
