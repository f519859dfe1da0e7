"""A batch that nobody watches: a time for each turn, crashes survived, each outcome by its kind, numbers in the log."""

import logging

import trio

import triologue as tri

logger = logging.getLogger("overnight")
JOBS = {"build": "Fail with 529: overloaded", "docs": "Say the docs are fine", "tests": "Wait 3600 seconds"}
DEADLINES = tri.Deadlines(turn=600, drain=60)  # seconds; silence, a tool that hangs and more have their own
RESTART = tri.RestartPolicy(max_restarts=3, within=300, retry_turn=True)  # a job may be done twice here


async def work(session: tri.Session, prompt: str) -> str:
    outcome = await (await session.send(prompt)).wait()  # every turn has one
    cause = outcome.error.__cause__ if outcome.error is not None else None
    if isinstance(cause, tri.AgentNotFound):
        raise cause  # the other jobs would get no further
    if isinstance(cause, tri.TurnTimeout):
        return f"took too long ({cause.phase})"
    return outcome.unwrap().result or "" if outcome.kind == "answered" else f"{outcome.kind}: {outcome.error}"


async def log_numbers(manager: tri.SessionManager) -> None:
    while True:
        await trio.sleep(60)
        logger.info("%s", manager.statistics())


async def main(agent: tri.Agent | None = None, jobs: dict[str, str] = JOBS) -> None:
    logging.basicConfig(level=logging.INFO)  # triologue logs under "triologue"
    reports: dict[str, str] = {}

    async def hold(key: str, prompt: str) -> None:
        reports[key] = await work(manager.session(key), prompt)

    async with tri.open_manager(agent, deadlines=DEADLINES, restart=RESTART) as manager, trio.open_nursery() as watch:
        watch.start_soon(log_numbers, manager)
        async with trio.open_nursery() as nursery:
            for key, prompt in jobs.items():
                nursery.start_soon(hold, key, prompt)
        watch.cancel_scope.cancel()
    for key, report in sorted(reports.items()):
        print(f"{key}: {report}")


if __name__ == "__main__":
    trio.run(main)
