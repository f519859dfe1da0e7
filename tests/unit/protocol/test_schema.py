"""The schema and the page of the protocol say what the structs say."""

import re
from pathlib import Path

import msgspec

from triologue.protocol.asked import Hello, Request
from triologue.protocol.schema import schema, schema_text
from triologue.protocol.told import Told

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_the_schema_is_that_of_the_structs() -> None:
    shown = (REFERENCE / "gateway.schema.json").read_text("utf-8")
    assert shown == schema_text(), "say: python -m triologue.protocol.schema > docs/reference/gateway.schema.json"


def test_every_frame_has_a_description_and_a_type_of_its_own() -> None:
    frames = {name: each for name, each in schema()["$defs"].items() if "type" in each.get("properties", {})}
    assert len(frames) == 34
    assert [name for name, each in frames.items() if not each.get("description")] == []


def test_the_frames_that_the_page_shows_are_frames() -> None:
    page = (REFERENCE / "gateway.md").read_text("utf-8")
    lines = [
        line
        for block in re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    kinds = {">": msgspec.json.Decoder(Request), "<": msgspec.json.Decoder(Told)}
    shown = [(line[0], line[2:]) for line in lines if line[:2] in ("> ", "< ")]
    assert len(shown) > 12
    for direction, frame in shown:
        if '"hello"' in frame:
            msgspec.json.decode(frame, type=Hello)
        else:
            kinds[direction].decode(frame)
