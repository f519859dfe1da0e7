"""Small things of Qoder's SDK."""

from typing import Any, TypeGuard

from triologue.sdk.vendor.errors import SDKError


class ModelPolicyTimeoutError(SDKError):
    """`resolve_model` took too long. Only told to the CLI, which goes on with its own choice; never raised here."""

    def __init__(self, timeout_ms: int) -> None:
        self.timeout_ms = timeout_ms
        super().__init__(f"resolve_model took longer than {timeout_ms} ms")


def is_bash_tool_background_launch_result(value: object) -> TypeGuard[dict[str, Any]]:
    """Is this `tool_use_result` what `Bash` gives for a command that went to the background?"""
    if not isinstance(value, dict) or value.get("kind") != "backgrounded":
        return False
    texts = (value.get(name) for name in ("taskId", "command", "initialOutput"))
    may_be_texts = (value.get(name, "") for name in ("outputFile", "stdout", "telemetryExecutionId"))
    may_be_counts = (value.get(name, 0) for name in ("totalLines", "totalBytes"))
    return (
        _is_whole(value.get("pid"), at_least=1)
        and all(isinstance(text, str) for text in (*texts, *may_be_texts))
        and all(_is_whole(count, at_least=0) for count in may_be_counts)
        and value.get("backgroundReason", "user") in ("user", "model", "timeout", "auto")
    )


def _is_whole(number: object, *, at_least: int) -> bool:
    # JSON does not tell 1 from 1.0, and a bool is no number there.
    is_whole = type(number) is int or (isinstance(number, float) and number.is_integer())
    return is_whole and isinstance(number, int | float) and number >= at_least
