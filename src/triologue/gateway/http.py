"""A request's head and the answer to it, as the front and the site hand them to each other."""

from typing import NamedTuple


class Head(NamedTuple):
    """What a client asks for; what it may send behind that, nobody here reads."""

    method: str
    target: str
    """As it was sent: path and query."""
    headers: list[tuple[str, str]]
    """Names in lower case, in the order in which they came."""

    def header(self, name: str) -> str | None:
        """The first header of this name, in lower case; None where there is none."""
        return next((value for each, value in self.headers if each == name), None)


class Response(NamedTuple):
    """The whole answer, to HEAD too. Whoever sends it adds its `content-length`, and `connection: close`."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes
