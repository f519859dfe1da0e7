"""The query and the client of Qoder's SDK."""

from collections.abc import AsyncIterable
from typing import Any, Literal, final

from triologue.errors import AgentProtocolError, InvalidOption, UnsupportedRequest
from triologue.messages import ControlReply, Prompt, UserMessage, user_message
from triologue.options import Options
from triologue.ports import Agent
from triologue.sdk.feed import Prompts
from triologue.sdk.qoder.options import QoderAgentOptions, settled
from triologue.sdk.vendor.client import VendorClient
from triologue.sdk.vendor.errors import as_vendor
from triologue.sdk.vendor.missing import refuse_transport
from triologue.sdk.vendor.query import VendorQuery


def query(*, prompt: Prompts, options: QoderAgentOptions | None = None, transport: None = None) -> VendorQuery:
    """Ask something and read everything that is said, with `async for`. Error results are messages like any other.

    Raises, here: `AuthNotConfiguredError`, `ValueError` for options that cannot be, `UnsupportedOption`. Raises, from
    the loop: the vendor's errors, or what an iterable of prompts raised.
    """
    refuse_transport("qoder", transport)
    plain, agent = settled(options if options is not None else QoderAgentOptions())
    return VendorQuery(prompt, plain, agent, raises_error_results=False)


@final
class QoderSDKClient(VendorClient):
    """A conversation with the Qoder CLI, turn by turn. What the vendor types as a TypedDict is a dict."""

    def __init__(self, options: QoderAgentOptions | None = None, transport: None = None) -> None:
        super().__init__()
        refuse_transport("qoder", transport)
        self.options = options if options is not None else QoderAgentOptions()

    def _settled(self) -> tuple[Options, Agent]:
        return settled(self.options)

    async def connect(self, prompt: Prompts | None = None) -> None:
        """Start the CLI; send the prompt, or what the async iterable gives, while replies are read."""
        await self._connect(prompt)

    async def query(
        self,
        prompt: Prompts,
        session_id: str = "default",
        *,
        priority: Literal["now", "next", "later"] | None = None,
        message_uuid: str | None = None,
        should_query: bool = True,
        custom_context: dict[str, str] | None = None,
    ) -> None:
        """Send a prompt, or each of an async iterable.

        Args:
            prompt: what to say.
            session_id: selects nothing: there is one conversation.
            priority: goes with the prompt; prompts are sent one at a time all the same.
            message_uuid: the prompt's uuid; not for an iterable.
            should_query: False: the prompt joins the next one, and the model is not asked yet.
            custom_context: opaque business ids.
        """
        with as_vendor():
            client = self._connected()
            if isinstance(prompt, AsyncIterable):
                if message_uuid is not None:
                    raise InvalidOption("message_uuid names one prompt, and an iterable has many; put it into each")
                await client.query(prompt)
                return
            frame = _frame(prompt)
            frame.priority = priority or frame.priority
            frame.uuid = message_uuid or frame.uuid
            frame.should_query = False if not should_query else frame.should_query
            frame.custom_context = custom_context or frame.custom_context
            await client.query(frame)

    # What runs, and what was done.

    async def background_tasks(self, tool_use_id: str | None = None) -> bool:
        """Send one tool call, or all that run in the foreground, to the background."""
        with as_vendor():
            return await self._connected().background_tasks(tool_use_id)

    async def ask_side_question(
        self, question: str, *, history: list[dict[str, Any]] | None = None
    ) -> dict[str, Any] | None:
        """Ask about the conversation without adding to it, also while a turn runs; None: there was no answer."""
        with as_vendor():
            answer = await self._connected().ask_side_question(question, history=history)
        return None if answer is None else {**answer.data, "synthetic": answer.synthetic}

    async def cancel_async_message(self, message_uuid: str) -> bool:
        """Drop a prompt that waits inside the CLI."""
        with as_vendor():
            return await self._connected().cancel_async_message(message_uuid)

    async def rewind_files(self, user_message_id: str, dry_run: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Put files back as they were at a prompt; needs `enable_file_checkpointing=True`."""
        with as_vendor():
            return (await self._connected().rewind_files(user_message_id, dry_run=dry_run)).data

    async def rewind(
        self,
        user_message_id: str,
        scope: Literal["conversation", "files", "both"] = "both",
        dry_run: bool = False,  # noqa: FBT001, FBT002 - as the vendor has it
    ) -> dict[str, Any]:
        """Go back to a prompt: with the conversation, the files, or both."""
        with as_vendor():
            return (await self._connected().rewind(user_message_id, scope, dry_run=dry_run)).data

    async def flush_memory(self) -> None:
        """Have written down what is to be remembered."""
        with as_vendor():
            await self._connected().flush_memory()

    async def refresh_memory(self) -> None:
        """Have read again what is remembered."""
        with as_vendor():
            await self._connected().refresh_memory()

    async def flush_skill_evolution(self) -> None:
        """Have the review of skills finished that is due."""
        with as_vendor():
            await self._connected().flush_skill_evolution()

    # How it works.

    async def set_plan_mode(self, active: bool) -> dict[str, Any]:  # noqa: FBT001 - as the vendor has it
        """Switch plan mode: `{"active": ...}`."""
        with as_vendor():
            return (await self._connected().set_plan_mode(active)).data

    async def get_plan_mode(self) -> dict[str, Any]:
        """Whether plan mode is on: `{"active": ...}`."""
        with as_vendor():
            return (await self._connected().get_plan_mode()).data

    async def set_goal(
        self, *, objective: str | None = None, status: str | None = None, credits_budget: float | None = None
    ) -> dict[str, Any] | None:
        """Set or change the goal that is worked on; what is None stays as it is."""
        with as_vendor():
            client = self._connected()
            return _data(await client.set_goal(objective=objective, status=status, credits_budget=credits_budget))

    async def get_goal(self) -> dict[str, Any] | None:
        """The goal that is worked on; None: there is none."""
        with as_vendor():
            return _data(await self._connected().get_goal())

    async def clear_goal(self) -> bool:
        """Work on no goal any more; False when there was none."""
        with as_vendor():
            return await self._connected().clear_goal()

    async def set_proxy(self, proxy: str | None = None) -> None:
        """Use this network proxy from now on; None: none."""
        with as_vendor():
            await self._connected().set_proxy(proxy)

    async def apply_flag_settings(self, settings: dict[str, Any]) -> None:
        """Change settings of the CLI that runs."""
        with as_vendor():
            await self._connected().apply_flag_settings(settings)

    # What it has.

    async def get_available_models(self) -> list[dict[str, Any]]:
        """The models to choose from."""
        with as_vendor():
            return [model.data for model in await self._connected().get_available_models()]

    async def list_byok_providers(self) -> list[dict[str, Any]] | None:
        """The providers for whose models one's own keys can be used; None: the CLI does not say."""
        with as_vendor():
            client = self._connected()
            try:
                return await client.list_byok_providers()
            except (AgentProtocolError, UnsupportedRequest):
                return None

    async def get_usage_info(self) -> dict[str, Any] | None:
        """What the account has used, and what is left; None: the CLI does not say."""
        with as_vendor():
            client = self._connected()
            try:
                usage = (await client.get_usage_info()).data
            except (AgentProtocolError, UnsupportedRequest):
                return None
        account = usage.get("usage")
        found = {**(account if isinstance(account, dict) else {}), "session": usage.get("session")}
        return {name: value for name, value in found.items() if value is not None} or None

    async def get_context_usage(self) -> dict[str, Any]:
        """How full the model's context window is, and of what."""
        with as_vendor():
            return (await self._connected().get_context_usage()).data

    async def supported_agents(self) -> list[dict[str, Any]]:
        """The sub-agents of the conversation; before `connect` none."""
        if self._client is None:
            return []
        with as_vendor():
            return await self._connected().supported_agents()

    async def list_plugins(self) -> list[dict[str, Any]]:
        """The plugins that are loaded."""
        with as_vendor():
            return [plugin.data for plugin in await self._connected().list_plugins()]

    async def reload_plugins(self) -> dict[str, Any]:
        """Have the plugins read again from their folders."""
        with as_vendor():
            return (await self._connected().reload_plugins()).data

    # MCP servers.

    async def set_mcp_servers(self, servers: dict[str, Any]) -> dict[str, Any]:
        """Replace the MCP servers that were added this way: `{"added", "removed", "errors"}`."""
        with as_vendor():
            return (await self._connected().set_mcp_servers(servers)).data

    async def mcp_authenticate(self, server_name: str, redirect_uri: str | None = None) -> dict[str, Any]:
        """Begin to log in to an MCP server: `{"authUrl", "requiresUserAction"}`."""
        with as_vendor():
            begun = await self._connected().mcp_authenticate(server_name, redirect_uri)
        return {**begun.data, "requiresUserAction": begun.requires_user_action}

    async def mcp_submit_oauth_callback_url(self, server_name: str, callback_url: str) -> None:
        """Hand on the address that the log-in page came back to."""
        with as_vendor():
            await self._connected().mcp_submit_oauth_callback_url(server_name, callback_url)

    async def inject_mcp_token(self, server_name: str, token: dict[str, Any]) -> None:
        """Give an MCP server the token of a log-in that was done elsewhere."""
        with as_vendor():
            await self._connected().inject_mcp_token(server_name, token)

    async def mcp_clear_auth(self, server_name: str) -> None:
        """Log out of an MCP server."""
        with as_vendor():
            await self._connected().mcp_clear_auth(server_name)


def _data(reply: ControlReply | None) -> dict[str, Any] | None:
    return None if reply is None else reply.data


def _frame(prompt: Prompt) -> UserMessage:
    try:
        return user_message(prompt)
    except (TypeError, ValueError) as error:
        raise InvalidOption(str(error)) from None
