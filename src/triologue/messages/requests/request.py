"""What every request of the control dialogue is made of, and the one that has no class of its own."""

from typing import Any

from msgspec import Struct


class Request(Struct, kw_only=True, gc=False, omit_defaults=True, tag_field="subtype"):
    """What is asked for, tagged by `subtype`."""


class UnknownRequest(Request, tag="#unknown"):
    """A request of a subtype without a class of its own; on the wire it is `body`.

    Sending one is how to use a subtype whose shape is its agent's own affair (`get_settings`, `list_models` ...).
    """

    body: dict[str, Any]

    @property
    def subtype(self) -> str:
        """The subtype it was sent with (some of Qoder's carry it under `type`), or `""`."""
        subtype = self.body.get("subtype") or self.body.get("type")
        return subtype if isinstance(subtype, str) else ""


def subtype_of(request: Request) -> str:
    """What the request is called on the wire."""
    return request.subtype if isinstance(request, UnknownRequest) else str(type(request).__struct_config__.tag)
