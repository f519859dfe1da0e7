"""The vendors' functions for conversations on disk. They block, as at the vendors: in a thread they hold up nobody."""

import os
from typing import final

from triologue.engine.histories import FolderRules
from triologue.sdk.vendor import session_changes, session_listing, session_messages
from triologue.sdk.vendor.session_changes import ForkSessionResult
from triologue.sdk.vendor.session_files import SessionFiles
from triologue.sdk.vendor.session_listing import SDKSessionInfo
from triologue.sdk.vendor.session_messages import SessionMessage


@final
class SessionFunctions:
    """Those of one vendor; its methods are the module's functions.

    `directory` is a project's folder, whose git worktrees count too; None: all projects are looked through.
    """

    def __init__(self, rules: FolderRules) -> None:
        self._files = SessionFiles(rules)

    def list_sessions(
        self,
        directory: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        include_worktrees: bool = True,  # noqa: FBT001, FBT002 - as the vendors have it
    ) -> list[SDKSessionInfo]:
        """The conversations; the one that was written last is the first."""
        return session_listing.list_sessions(self._files, directory, limit, offset, include_worktrees=include_worktrees)

    def get_session_info(self, session_id: str, directory: str | None = None) -> SDKSessionInfo | None:
        """What a list shows of one conversation; None: there is none."""
        found = self._files.find(session_id, directory)
        return session_listing.session_info(*found) if found is not None else None

    def get_session_messages(
        self, session_id: str, directory: str | None = None, limit: int | None = None, offset: int = 0
    ) -> list[SessionMessage]:
        """What was said, in order; nothing where there is no such conversation."""
        return session_messages.session_messages(self._files, session_id, directory, limit, offset)

    def get_session_messages_in_view(
        self,
        session_id: str,
        directory: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        view: str = "runtime",
    ) -> list[SessionMessage]:
        """The same; with the view `historical`, what was summed up in place of the summary (Qoder)."""
        if view not in ("runtime", "historical"):
            raise ValueError(f"view={view!r} is neither 'runtime' nor 'historical'")
        return session_messages.session_messages(
            self._files, session_id, directory, limit, offset, historical=view == "historical"
        )

    def list_subagents(self, session_id: str, directory: str | None = None) -> list[str]:
        """The ids of the sub-agents of a conversation."""
        return list(self._files.subagents(session_id, directory))

    def get_subagent_messages(
        self, session_id: str, agent_id: str, directory: str | None = None, limit: int | None = None, offset: int = 0
    ) -> list[SessionMessage]:
        """What a sub-agent was told and said."""
        return session_messages.subagent_messages(self._files, session_id, agent_id, directory, limit, offset)

    def rename_session(self, session_id: str, title: str, directory: str | None = None) -> None:
        """Give a conversation a title.

        Raises:
            ValueError: an id that is no UUID, or an empty title.
            FileNotFoundError: there is no such conversation.
        """
        session_changes.rename(self._files, session_id, title, directory)

    def tag_session(self, session_id: str, tag: str | None, directory: str | None = None) -> None:
        """Give a conversation a tag; None takes it away. Raises as `rename_session`."""
        session_changes.tag(self._files, session_id, tag, directory)

    def delete_session(self, session_id: str, directory: str | None = None) -> None:
        """Remove a conversation, and what its sub-agents did. Raises as `rename_session`."""
        session_changes.delete(self._files, session_id, directory)

    def fork_session(
        self,
        session_id: str,
        directory: str | None = None,
        up_to_message_id: str | None = None,
        title: str | None = None,
    ) -> ForkSessionResult:
        """Copy a conversation under a new id, up to a message if one is named. Asks no agent.

        Raises:
            ValueError: an id that is no UUID, no such message, or nothing to copy.
            FileNotFoundError: there is no such conversation.
        """
        return session_changes.fork(self._files, session_id, directory, up_to_message_id, title)

    def project_key_for_directory(self, directory: str | os.PathLike[str] | None = None) -> str:
        """What the folder of a project is called; None: of the current one."""
        return self._files.key(directory)
