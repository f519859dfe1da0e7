"""Permissions by chat button: each question is posted with two buttons, and whoever presses first answers it."""

import trio

import triologue as tri


def delete(path: str) -> str:
    """Delete a file (here it only says so)."""
    return f"{path} is gone"


async def press_buttons(manager: tri.SessionManager, posts: trio.MemoryReceiveChannel[str]) -> None:
    """The people in the chat. A button carries the request's id, which has at most 36 characters."""
    async for request_id in posts:
        request = manager.permission(request_id)
        if request is None:  # a button from before the last restart
            continue
        print(f"{request.tool} {request.input}  [Allow] [Deny]")
        if "/etc" in str(request.input):
            await request.deny("Only files of this project.", by="Ada")
        else:
            await request.allow(by="Ada")
        try:
            await request.allow(by="Bob")
        except tri.AlreadyAnswered as late:
            print(f"Bob is too late: {late.by} said {late.answer}")


async def main(
    agent: tri.Agent | None = None, prompt: str = "Call delete(path='old.txt') and call delete(path='/etc/hosts')"
) -> None:
    agent = agent or tri.Embedded(tools=[delete])
    buttons, posts = trio.open_memory_channel[str](100)

    async def post(request: tri.PermissionRequest) -> None:
        await buttons.send(request.id)  # and returns: the answer comes later, from another task

    async with tri.open_manager(agent, on_permission=post) as manager, trio.open_nursery() as nursery:
        nursery.start_soon(press_buttons, manager, posts)
        print((await manager.session("slack:C1").ask(prompt)).result)
        buttons.close()


if __name__ == "__main__":
    trio.run(main)
