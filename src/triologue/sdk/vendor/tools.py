"""What tools are declared with, under the vendors' names."""

from typing import Any, final


@final
class ToolAnnotations(dict[str, Any]):
    """MCP's hints about a tool: `ToolAnnotations(readOnlyHint=True, title="...")`. The MCP library's own will do too."""

    def __init__(
        self,
        *,
        title: str | None = None,
        readOnlyHint: bool | None = None,  # noqa: N803 - the names of the wire
        destructiveHint: bool | None = None,  # noqa: N803
        idempotentHint: bool | None = None,  # noqa: N803
        openWorldHint: bool | None = None,  # noqa: N803
        **more: Any,
    ) -> None:
        hints = {
            "title": title,
            "readOnlyHint": readOnlyHint,
            "destructiveHint": destructiveHint,
            "idempotentHint": idempotentHint,
            "openWorldHint": openWorldHint,
            **more,
        }
        super().__init__({name: hint for name, hint in hints.items() if hint is not None})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get(name)
