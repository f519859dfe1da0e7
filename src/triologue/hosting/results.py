"""What Qoder tells of its side jobs, for the callbacks that its options name: memory that was written or read, reviews."""

from collections.abc import Callable, Mapping
from typing import Any

from triologue.hosting.gates import setting
from triologue.messages import MemoryConsumptionMessage, MemoryGenerationMessage, Message, SkillEvolutionMessage
from triologue.options import Options

# The vendor's names for what `on_result` of evolution gets, by those on the wire.
_REVIEW = {
    "attemptId": "attempt_id",
    "reviewScore": "review_score",
    "sourceRequestIds": "source_request_ids",
    "modelRequestIds": "model_request_ids",
    "durationMs": "duration_ms",
}
_SUGGESTION = {"skillName": "skill_name"}
_UNREADABLE = {
    "status": "failed",
    "attempt_id": "unknown",
    "reason": "invalid_result",
    "origin": "turn_complete",
    "suggestions": [],
    "duration_ms": 0,
}


def result_callbacks(options: Options) -> dict[type[Message], Callable[..., Any]]:
    """The `on_result` functions that there are, each by the type of the message that is for it."""
    named = {
        MemoryGenerationMessage: setting(options.memory, "generation", "on_result"),
        MemoryConsumptionMessage: setting(options.memory, "consumption", "on_result"),
        SkillEvolutionMessage: setting(options.evolution, "skill", "generation", "on_result"),
    }
    return {kind: callback for kind, callback in named.items() if callback is not None}


def result_of(message: Message) -> Any:
    """What such a function gets: of memory what the wire says; of a review a dict, under the vendor's names for it."""
    if isinstance(message, SkillEvolutionMessage):
        return _review(message.result)
    return getattr(message, "result", None)


def _review(result: Any) -> dict[str, Any]:
    if not isinstance(result, dict):
        return {**_UNREADABLE, "suggestions": []}
    review = _renamed(result, _REVIEW)
    suggestions = review.get("suggestions")
    if isinstance(suggestions, list):
        review["suggestions"] = [_renamed(each, _SUGGESTION) for each in suggestions if isinstance(each, dict)]
    return review


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
