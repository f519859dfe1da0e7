"""The JSON Schema of `triologue.v1`, made from the structs: `python -m triologue.protocol.schema` writes it."""

import sys
from inspect import cleandoc
from typing import Any

import msgspec

from triologue.protocol.asked import Hello, Request
from triologue.protocol.carrier import SUBPROTOCOL
from triologue.protocol.told import Told


def schema() -> dict[str, Any]:
    """The schema of any frame; `$defs` has `ClientFrame` and `GatewayFrame` too, and one for each frame."""
    (hello, request, told), frames = msgspec.json.schema_components(
        [Hello, Request, Told], ref_template="#/$defs/{name}"
    )
    for frame in frames.values():
        if "description" in frame:
            frame["description"] = cleandoc(frame["description"])  # as Python 3.13 has it from the start
    defs = {
        "ClientFrame": {"description": "`Hello` first, then any number of the others.", "anyOf": [hello, request]},
        "GatewayFrame": {"description": "What comes back.", **told},
        **frames,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SUBPROTOCOL,
        "anyOf": [{"$ref": "#/$defs/ClientFrame"}, {"$ref": "#/$defs/GatewayFrame"}],
        "$defs": defs,
    }


def schema_text() -> str:
    """The same as a file."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
