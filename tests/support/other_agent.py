"""An agent that is another one, but for how it is connected."""

from collections.abc import Mapping
from typing import Any

from triologue.errors import TriologueError
from triologue.messages import AnyRequest, CanUseTool, PermissionResult, Request, ResultMessage, UserMessage
from triologue.options import Options
from triologue.ports import Agent, Exit


class OtherAgent:
    """Says what the other says. Who makes a variant adds `connect`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    @property
    def name(self) -> str:
        return self._agent.name

    @property
    def requests(self) -> Mapping[type[Request], str | None]:
        return self._agent.requests

    def check(self, options: Options) -> None:
        self._agent.check(options)

    def initialize(self, options: Options) -> AnyRequest:
        return self._agent.initialize(options)

    def permission_reply(self, request: CanUseTool, result: PermissionResult) -> dict[str, Any]:
        return self._agent.permission_reply(request, result)

    def user_frame(self, prompt: UserMessage, options: Options) -> UserMessage:
        return self._agent.user_frame(prompt, options)

    def diagnose(self, exit: Exit, refusal: ResultMessage | None, options: Options) -> TriologueError:
        return self._agent.diagnose(exit, refusal, options)
