"""A caller's prompt, in any of its forms, as the user frame it stands for."""

from typing import Any, TypeAlias, get_args

import msgspec

from triologue.messages.blocks import Block, ContentBlock, UnknownBlock, read_block
from triologue.messages.conversation import UserBody, UserMessage
from triologue.messages.loose import as_text, encodable, encodable_text
from triologue.messages.message import plain

Prompt: TypeAlias = str | list[ContentBlock] | dict[str, Any] | UserMessage
"""Text; a list of blocks (text, images, documents); a vendor's user frame as a dict; or a `UserMessage`."""

_FIELDS = {info.encode_name for info in msgspec.structs.fields(UserMessage) if not info.encode_name.startswith("#")}
# Those that are decoded when somebody looks.
_LATE = {"tool_use_result", "tool_result_meta"}

_TYPES = {str(kind.__struct_config__.tag) for kind in get_args(ContentBlock)}


def user_message(prompt: Prompt) -> UserMessage:
    """Make the user frame of a prompt. Lone surrogates, which no wire can carry, become U+FFFD.

    Raises:
        TypeError, ValueError, RecursionError: it is no prompt, or JSON cannot say it; the text says why. (Callers see an
            `InvalidOption`.)
    """
    match prompt:
        case str():
            return UserMessage(message=UserBody(content=encodable_text(prompt)))
        case list():
            _check_blocks(prompt)
            return _sendable(UserMessage(message=UserBody(content=list(prompt))))
        case UserMessage():
            # By way of JSON, because whoever made it may have put anything into its fields.
            return _from_frame(plain(_sendable(msgspec.structs.replace(prompt, line=b""))))
        case dict():
            return _sendable(_from_frame(encodable(prompt)))
        case _:
            raise TypeError(f"a prompt is a str, a list of blocks, a user frame or a UserMessage, not {prompt!r:.80}")


def _sendable(message: UserMessage) -> UserMessage:
    try:
        msgspec.json.encode(message, enc_hook=as_text)
    except UnicodeEncodeError:
        return _from_frame(encodable(plain(message)))
    return message


def _check_blocks(prompt: list[Any]) -> None:
    """Refuse what an agent, or its model, would choke on now and, because it stays in the conversation, ever after."""
    if not prompt:
        raise ValueError("the list of content blocks is empty")
    for block in prompt:
        if not isinstance(block, Block):
            raise TypeError(f"a list prompt holds content blocks, such as TextBlock(text=...), not {block!r:.80}")
        if isinstance(read_block(plain(block)), UnknownBlock) and not isinstance(block, UnknownBlock):
            raise TypeError(f"a content block has a value of a wrong type: {block!r:.80}")


def _from_frame(frame: dict[str, Any]) -> UserMessage:
    if frame.get("type", "user") != "user":
        # A streamed dict must not smuggle a control frame into the agent's stdin.
        raise ValueError(f"a prompt frame has the type 'user', not {frame['type']!r:.80}")
    body = _body(frame.get("message"))
    fields = {name: value for name, value in frame.items() if name in _FIELDS and name != "message"}
    for name in fields.keys() & _LATE:
        fields[name] = msgspec.Raw(msgspec.json.encode(fields[name]))
    try:
        message = msgspec.convert({**fields, "type": "user", "message": {"content": ""}}, UserMessage)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a user frame: {error}") from None
    extra = {name: value for name, value in frame.items() if name not in _FIELDS and name != "type"}
    return msgspec.structs.replace(message, message=body, extra=extra or None)


def _body(body: Any) -> UserBody:
    match body:
        case {"content": str() as content, **rest}:
            made = UserBody(content=content)
        case {"content": list() as blocks, **rest}:
            made = UserBody(content=[_whole_block(block) for block in blocks])
        case _:
            raise ValueError(f"a user frame has a 'message' with a 'content' of text or blocks, not {body!r:.80}")
    if rest.pop("role", "user") != "user" or rest:
        # Claude Code ends at once on another role.
        raise ValueError(f"the message of a user frame has the role 'user' and a content, not {body!r:.80}")
    return made


def _whole_block(value: Any) -> ContentBlock:
    """A block of which nothing is lost: one with a field that its class does not have is kept whole."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise TypeError(f"a content block is a dict with a type, not {value!r:.80}")
    block = read_block(value)
    if isinstance(block, UnknownBlock) and value["type"] in _TYPES:
        raise ValueError(f"a content block lacks something, or has a value of a wrong type: {value!r:.80}")
    if not value.keys() - {"type"} <= set(block.__struct_encode_fields__):
        return UnknownBlock(data=value)
    return block
