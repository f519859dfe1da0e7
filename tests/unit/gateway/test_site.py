"""What the port answers over plain HTTP."""

import os
import re
from importlib import resources

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, wait_all_tasks_blocked

import triologue as tri
from tests.support.scripted_agent import ScriptedAgent
from triologue.cli.offline import offline_agent
from triologue.gateway.http import Head, Response
from triologue.gateway.site import Site
from triologue.gateway.statistics import GatewayStatistics
from triologue.gateway.tokens import MemoryTokens, Tokens

PAGE = resources.files("triologue.gateway") / "page"
FILES = sorted(file.name for file in PAGE.iterdir())


async def asked(
    target: str, method: str = "GET", *, tokens: Tokens | None = None, token: str | None = None
) -> Response:
    headers = [("host", "localhost"), *([("authorization", token)] if token is not None else [])]
    async with tri.open_manager(offline_agent()) as manager:
        return await Site(manager, GatewayStatistics, tokens).answer(Head(method, target, headers))


@pytest.mark.parametrize("path", ["/", *(f"/{name}" for name in FILES if name != "index.html")])
async def test_the_page_is_there(path: str) -> None:
    answer = await asked(path)
    assert answer.status == 200
    assert answer.body == (PAGE / ("index.html" if path == "/" else path[1:])).read_bytes()


async def test_each_answer_has_the_headers_that_keep_others_out() -> None:
    for target in ("/", "/page.js", "/healthz", "/metrics", "/none"):
        said = dict((await asked(target)).headers)
        policy = dict(each.split(" ", 1) for each in said["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in said["content-security-policy"]
        assert said["x-content-type-options"] == "nosniff"
        assert said["referrer-policy"] == "no-referrer"


def test_the_page_needs_no_other_host_and_makes_no_markup_of_text() -> None:
    for name in FILES:
        source = (PAGE / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://[\w.]", source) == [], name
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source) == []
    page = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page) == [], "the policy would refuse it"


@pytest.mark.parametrize(
    "path",
    ["/index.html", "/none", "/../site.py", "/page/page.js", "//etc/passwd", "/%2e%2e/site.py", "/page.js/", "", "*"],
)
async def test_nothing_else_is_there(path: str) -> None:
    assert (await asked(path)).status == 404


async def test_other_methods_are_refused() -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        answer = await asked("/", method)
        assert (answer.status, dict(answer.headers)["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/none"])
async def test_head_is_answered_as_get(path: str) -> None:
    assert await asked(path, "HEAD") == await asked(path)


async def test_a_query_changes_nothing() -> None:
    assert (await asked("/healthz?x=1")).body == b"ok\n"


async def test_it_is_ready_until_it_drains() -> None:
    async with tri.open_manager(offline_agent()) as manager:
        site = Site(manager, GatewayStatistics)

        async def statuses() -> list[int]:
            return [(await site.answer(Head("GET", target, []))).status for target in ("/healthz", "/readyz")]

        turn = await manager.session("a").send("Wait 20 seconds")
        assert (await statuses(), manager.is_draining) == ([200, 200], False)
        manager.drain()
        assert (await statuses(), manager.is_draining) == ([200, 503], True)
        await turn.cancel()


async def test_metrics_are_for_everybody_where_no_tokens_are() -> None:
    answer = await asked("/metrics")
    assert dict(answer.headers)["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert {"triologue_sessions", "triologue_gateway_connections", "process_open_fds"} <= names


async def test_metrics_want_a_token_that_may_watch_everything() -> None:
    tokens = MemoryTokens()
    watch, narrow = tokens.add("prometheus", rights=["watch"]), tokens.add("b", rights=["watch"], prefix="b/")
    prompt, old = tokens.add("bot", rights=["prompt"]), tokens.add("old", expires=1.0)
    said = {
        f"Bearer {watch}": 200,
        f"bearer  {watch}": 200,
        f"Bearer {narrow}": 403,
        f"Bearer {prompt}": 403,
        f"Bearer {old}": 401,
        f"Basic {watch}": 401,
        watch: 401,
        "": 401,
    }
    assert {header: (await asked("/metrics", tokens=tokens, token=header)).status for header in said} == said
    assert (await asked("/healthz", tokens=tokens)).status == 200


async def test_many_who_ask_for_metrics_share_one_look_in_a_thread_of_its_own(mock_clock: MockClock) -> None:
    agent = ScriptedAgent()
    agent.pid = os.getpid()
    async with tri.open_manager(agent) as manager:
        await manager.session("k").ask("hello")
        site, answers = Site(manager, GatewayStatistics), list[Response]()

        async def ask() -> None:
            answers.append(await site.answer(Head("GET", "/metrics", [("host", "localhost")])))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    lines = [line for each in answers for line in each.body.splitlines() if line.startswith(b"triologue_agents_memory")]
    assert (len(lines), len(set(lines))) == (50, 1)
