"""Many tenants in one manager: a bound on live agents, on memory and on money, and what is told at each.

A session that waits for room says so; one that has cost what it may is refused, and harms no other.
"""

import trio

import triologue as tri

LIMITS = tri.Limits(
    max_live=8,
    max_live_per_group=1,
    group=lambda key: key.partition(":")[0],  # "tenant:chat" -> "tenant"
    max_rss_bytes=6 * 2**30,
    max_cost_usd=50.0,
    max_cost_usd_per_session=0.0001,  # a bot's would be some dollars
)


async def main(agent: tri.Agent | None = None, busy: str = "Wait 3600 seconds") -> None:
    async with tri.open_manager(agent or tri.Embedded(), limits=LIMITS) as manager:
        running = await manager.session("acme:1").send(busy)
        waiting = await manager.session("acme:2").send("Say I waited")
        await manager.session("bolt:1").ask("Count to 50")  # another tenant is not held up
        print(f"acme:2 waits for {manager.explain('acme:2').waits_for}")
        await running.cancel()
        print(f"acme:2 says: {(await waiting.wait()).unwrap().result}")
        try:
            await manager.session("bolt:1").send("And on to 100")
        except tri.BudgetExceeded as error:
            print(f"bolt:1 has cost more than ${error.limit_usd}")


if __name__ == "__main__":
    trio.run(main)
