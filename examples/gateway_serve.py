"""Lend sessions to other programs and a page, and use them beside those."""

import trio

import triologue as tri

OPTIONS = tri.Options(permission_prompt_tool_name="stdio")  # agents ask, and clients may answer


async def main(agent: tri.Agent | None = None, port: int = 0) -> None:
    tokens = tri.MemoryTokens()  # or the path of a file that `triologue tokens` changes
    tokens.add("phone", rights=["watch", "approve"], prefix="team-a/")  # gives the token's text
    async with tri.open_manager(agent, options=OPTIONS) as manager:
        async with tri.open_gateway(manager, port=port, tokens=tokens) as gateway:  # its url is for clients
            await manager.recover()  # with a store: what was accepted before goes on
            print((await manager.session("team-a/hello").ask("Remember: I like Python")).result)
            for path in ("/", "/healthz", "/metrics"):
                print(f"{path}: {await get(gateway.port, path)}")


async def get(port: int, path: str) -> str:
    """What a browser, a probe or Prometheus is answered first."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream])
    return answer.splitlines()[0].decode().strip()


if __name__ == "__main__":
    trio.run(main)
