"""What the gateway's port answers over plain HTTP: the page, whether all is well, and metrics."""

import time
from collections.abc import Callable
from importlib import resources
from math import inf
from pathlib import PurePosixPath
from typing import Final, final

import trio
from prometheus_client import CONTENT_TYPE_LATEST

from triologue.agents import measure_trees
from triologue.gateway.http import Head, Response
from triologue.gateway.metrics import metrics_text
from triologue.gateway.statistics import GatewayStatistics
from triologue.gateway.tokens import LOCAL, Grant, Tokens
from triologue.loops import NoThread, in_thread
from triologue.manager import SessionManager

# Nothing but this gateway's own files, no markup made of text (trusted types), in nobody's frame.
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
ALWAYS: Final = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", POLICY),
    ("cache-control", "no-store"),
]
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
MEASURE_EVERY: Final = 1.0
"""Seconds."""

_TEXT: Final = "text/plain; charset=utf-8"


@final
class Memory:
    """Measures how much memory a manager's agents have, in one thread of its own and at most once a second.

    Args:
        manager: whose agents.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._thread = trio.CapacityLimiter(1)  # many who ask are not to take the threads of everything else
        self._turn = trio.Lock()
        self._bytes: int | None = None
        self._fresh_until = -inf

    async def measured(self) -> int | None:
        """Bytes of all of them; None where nobody can tell."""
        async with self._turn:
            if trio.current_time() >= self._fresh_until:
                self._bytes = await self._measure()
                self._fresh_until = trio.current_time() + MEASURE_EVERY
        return self._bytes

    async def _measure(self) -> int | None:
        pids = [session.pid for session in self._manager.sessions() if session.pid is not None]
        if not pids:
            return 0
        # It reads /proc for each, and everything else goes on meanwhile.
        try:
            sizes = await in_thread(measure_trees, pids, abandon_on_cancel=True, limiter=self._thread)
        except NoThread:
            return None
        return sum(sizes.values()) if sizes is not None else None


@final
class Site:
    """Answers requests that are no WebSocket's.

    Args:
        manager: whose metrics are told, and who may be leaving.
        statistics: gives what the gateway has counted.
        tokens: who may read metrics; None: everybody.
    """

    def __init__(
        self, manager: SessionManager, statistics: Callable[[], GatewayStatistics], tokens: Tokens | None = None
    ) -> None:
        self._manager = manager
        self._statistics = statistics
        self._tokens = tokens
        self._files = _page_files()
        self._memory = Memory(manager)

    async def answer(self, head: Head) -> Response:
        """Answer one request, whatever it asks for, HEAD as GET; a query is ignored."""
        await trio.lowlevel.checkpoint()
        if head.method not in ("GET", "HEAD"):
            return _plain(405, "only GET and HEAD are answered here\n", ("allow", "GET, HEAD"))
        match head.target.partition("?")[0]:
            case "/healthz":
                return _plain(200, "ok\n")
            case "/readyz":
                return _plain(503, "leaving\n") if self._manager.is_draining else _plain(200, "ok\n")
            case "/metrics":
                return await self._metrics(head)
            case path:
                return self._files.get(path) or _plain(404, "there is no such page\n")

    async def _metrics(self, head: Head) -> Response:
        grant = self._grant_of(head)
        if grant is None:
            return _plain(
                401, "a token is needed, as in: Authorization: Bearer tri_...\n", ("www-authenticate", "Bearer")
            )
        if "watch" not in grant.rights or grant.prefix:
            return _plain(403, "metrics are of all sessions, and need the right `watch` without a prefix\n")
        memory = await self._memory.measured()
        text = metrics_text(self._manager.statistics(), self._statistics(), memory)
        return Response(200, [("content-type", CONTENT_TYPE_LATEST), *ALWAYS], text)

    def _grant_of(self, head: Head) -> Grant | None:
        if self._tokens is None:
            return LOCAL
        scheme, _, token = (head.header("authorization") or "").partition(" ")
        return self._tokens.check(token.strip(), time.time()) if scheme.lower() == "bearer" else None


def _page_files() -> dict[str, Response]:
    """The page's files by their path; what is not among them does not exist."""
    files: dict[str, Response] = {}
    for file in (resources.files("triologue.gateway") / "page").iterdir():
        kind = _TYPES.get(PurePosixPath(file.name).suffix)
        if kind is not None:
            files[f"/{file.name}"] = Response(200, [("content-type", kind), *ALWAYS], file.read_bytes())
    files["/"] = files.pop("/index.html")
    return files


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, [("content-type", _TEXT), *headers, *ALWAYS], text.encode())
