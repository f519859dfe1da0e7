"""What is kept of permission requests that are settled."""

import gc
import weakref

from triologue.actors import Permission, Permissions
from triologue.actors.replies import Reply
from triologue.messages import CanUseTool, PermissionAnswered, PermissionResult


def test_a_settled_one_does_not_hold_its_session() -> None:
    permissions = Permissions()

    def decide(result: PermissionResult, by: str | None) -> Reply:
        raise AssertionError

    request = CanUseTool(tool_name="Bash", input={"command": "a long one"})
    permissions.open(Permission("p", "r", request, key="k", turn=None, deadline=1.0, decide=decide))
    way = weakref.ref(decide)
    answered = PermissionAnswered(id="p", answer="allow", by="ada")
    permissions.settle(answered)
    del decide
    gc.collect()
    remembered = permissions.get("p")
    assert remembered is not None
    assert (remembered.request.input, remembered.answered, way()) == ({}, answered, None)
