"""Every public name of the vendors' SDKs is there, or says why it is not."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sdk.face_stage import CLIENTS, FACES, OPTIONS, SDKS
from triologue.sdk import claude, cortex, qoder

VENDORS = sorted(FACES)


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_public_name_is_there_or_listed(vendor: str) -> None:
    face, sdk = FACES[vendor], importlib.import_module(SDKS[vendor])
    there = {name for name in sdk.__all__ if name in vars(face)}
    assert set(sdk.__all__) - there == set(face.NOT_PORTED)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_name_that_is_missing_says_what_to_do(vendor: str) -> None:
    face = FACES[vendor]
    for name, advice in face.NOT_PORTED.items():
        with pytest.raises(ImportError) as caught:
            getattr(face, name)
        assert advice in str(caught.value)
    with pytest.raises(ImportError, match="how bytes travel"):
        importlib.import_module(face.__name__).Transport  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'ClaudeAgentOption'"):
        face.ClaudeAgentOption  # noqa: B018


def test_from_import_shows_the_advice() -> None:
    with pytest.raises(ImportError, match="session store"):
        exec("from triologue.sdk.claude import InMemorySessionStore")


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_client_has_every_method_with_its_parameters(vendor: str) -> None:
    sdk: Any = importlib.import_module(SDKS[vendor])
    theirs = getattr(sdk, CLIENTS[vendor].__name__)
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if name.startswith("_"):
            continue
        ours = inspect.signature(getattr(CLIENTS[vendor], name)).parameters
        assert list(ours) == list(inspect.signature(method).parameters), name


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_options_have_every_field(vendor: str) -> None:
    sdk: Any = importlib.import_module(SDKS[vendor])
    theirs, ours = getattr(sdk, OPTIONS[vendor].__name__)(), OPTIONS[vendor]()
    names = [name for name in theirs.__dataclass_fields__ if name != "debug_stderr"]  # without effect
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


@pytest.mark.parametrize("vendor", VENDORS)
def test_functions_have_the_same_parameters(vendor: str) -> None:
    face, sdk = FACES[vendor], importlib.import_module(SDKS[vendor])
    for name in set(sdk.__all__) - set(face.NOT_PORTED) - {"tool", "create_sdk_mcp_server"}:
        theirs = getattr(sdk, name)
        if inspect.isfunction(theirs):
            ours = getattr(face, name)
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name
            assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs), name


@pytest.mark.parametrize("vendor", VENDORS)
def test_classes_have_the_same_attributes(vendor: str) -> None:
    face, sdk = FACES[vendor], importlib.import_module(SDKS[vendor])
    lacking = [
        (name, field)
        for name in set(sdk.__all__) - set(face.NOT_PORTED)
        for field in getattr(getattr(sdk, name), "__dataclass_fields__", {})
        if not hasattr(getattr(face, name), field)
    ]
    assert lacking == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_errors_are_related_as_at_the_vendor(vendor: str) -> None:
    face, sdk = FACES[vendor], importlib.import_module(SDKS[vendor])
    errors = [
        name
        for name in set(sdk.__all__) - set(face.NOT_PORTED)
        if inspect.isclass(getattr(sdk, name)) and issubclass(getattr(sdk, name), Exception)
    ]
    for one in errors:
        for other in errors:
            theirs = issubclass(getattr(sdk, one), getattr(sdk, other))
            assert issubclass(getattr(face, one), getattr(face, other)) == theirs, (one, other)


def test_shapes_make_dicts() -> None:
    assert claude.SandboxSettings(enabled=True) == {"enabled": True}
    assert cortex.McpStdioServerConfig(command="a", args=[]) == {"command": "a", "args": []}


def test_annotations_of_tools_are_read_as_attributes_and_as_a_dict() -> None:
    annotations = qoder.ToolAnnotations(readOnlyHint=True, title="Look")
    assert annotations == {"readOnlyHint": True, "title": "Look"}
    assert (annotations.readOnlyHint, annotations.openWorldHint) == (True, None)


def test_what_bash_sends_to_the_background_is_known() -> None:
    result = {"kind": "backgrounded", "pid": 7, "taskId": "t", "command": "c", "initialOutput": ""}
    for value in (result, {**result, "pid": 7.0}, {**result, "pid": True}, {**result, "totalLines": -1}, {}, None):
        theirs = importlib.import_module("qoder_agent_sdk").is_bash_tool_background_launch_result(value)
        assert qoder.is_bash_tool_background_launch_result(value) == theirs, value


def test_the_guide_names_what_is_not_there() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "migrate.md").read_text("utf-8")
    _, _, listed = guide.partition("## Names that are not there")
    named = set(re.findall(r"`(\w+)`", listed))
    assert {name for face in FACES.values() for name in face.NOT_PORTED} <= named


def test_the_guide_shows_names_that_are_there() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "migrate.md").read_text("utf-8")
    imports = re.findall(r"^\+from triologue\.sdk\.(\w+) import (.+)$", guide, flags=re.MULTILINE)
    assert [vendor for vendor, _ in imports] == ["claude", "qoder", "cortex"]
    for vendor, names in imports:
        assert [name for name in names.split(", ") if name not in vars(FACES[vendor])] == []
