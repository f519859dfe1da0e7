"""Every form of a prompt, and what is no prompt."""

from typing import Any

import pytest

from triologue.messages import (
    ImageBlock,
    TextBlock,
    UnknownBlock,
    UserBody,
    UserMessage,
    text,
    user_message,
)
from triologue.wire import encode

IMAGE = {"type": "base64", "media_type": "image/png", "data": "aGk="}


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("hi", UserMessage(message=UserBody(content="hi"))),
        ("a\ud83d\ude00b\ud83d", UserMessage(message=UserBody(content="a😀b\ufffd"))),
        (
            [TextBlock(text="see"), ImageBlock(source=IMAGE)],
            UserMessage(message=UserBody(content=[TextBlock(text="see"), ImageBlock(source=IMAGE)])),
        ),
        (UserMessage(message=UserBody(content="x"), line=b"{}"), UserMessage(message=UserBody(content="x"))),
        ({"message": {"content": "x"}}, UserMessage(message=UserBody(content="x"))),
        (
            {"type": "user", "message": {"role": "user", "content": "\udce9"}, "uuid": "u", "shouldQuery": False},
            UserMessage(message=UserBody(content="\ufffd"), uuid="u", should_query=False),
        ),
        ([TextBlock(text="half \ud83d")], UserMessage(message=UserBody(content=[TextBlock(text="half \ufffd")]))),
        (
            UserMessage(message=UserBody(content="half \ud83d"), uuid="u", extra={"new": "\udce9"}),
            UserMessage(message=UserBody(content="half \ufffd"), uuid="u", extra={"new": "\ufffd"}),
        ),
        (
            {"message": {"content": [{"type": "image", "source": IMAGE}, {"type": "new"}]}},
            UserMessage(
                message=UserBody(content=[ImageBlock(source=IMAGE), UnknownBlock(data={"type": "new"})]),
            ),
        ),
    ],
)
def test_a_prompt_becomes_a_user_frame(prompt: Any, message: UserMessage) -> None:
    made = user_message(prompt)
    assert made == message
    assert made.line == b""


def test_nothing_of_a_dict_is_lost() -> None:
    block = {"type": "text", "text": "x", "new": 1}
    frame = {
        "type": "user",
        "new": {"a": [1]},
        "message": {"role": "user", "content": [block]},
        "tool_use_result": {"n": 1},
        "tool_result_meta": [{"id": "t"}],
    }
    message = user_message(frame)
    assert message.data == frame
    assert text(message) == "x"
    assert encode(message) == (
        b'{"new":{"a":[1]},"type":"user","message":{"content":[{"type":"text","text":"x","new":1}],"role":"user"},'
        b'"tool_result_meta":[{"id":"t"}],"tool_use_result":{"n":1}}\n'
    )


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        (5, TypeError),
        (None, TypeError),
        (["text"], TypeError),
        ([], ValueError),
        ({}, ValueError),
        ({"type": "control_request", "message": {"content": "x"}}, ValueError),
        ({"message": "x"}, ValueError),
        ({"message": {"content": 5}}, ValueError),
        ({"message": {"content": "x", "role": "assistant"}}, ValueError),
        ({"message": {"content": "x", "new": 1}}, ValueError),
        ({"message": {"content": "x"}, "uuid": 5}, ValueError),
        ({"message": {"content": "x"}, "new": object()}, TypeError),
        (UserMessage(message="hi"), ValueError),  # type: ignore[arg-type]
        (UserMessage(message=UserBody(content=None)), ValueError),  # type: ignore[arg-type]
        (UserMessage(message=UserBody(content=[TextBlock(text=5)])), ValueError),  # type: ignore[arg-type]
        (UserMessage(message=UserBody(content="x", role="assistant")), ValueError),
        (UserMessage(message=UserBody(content="x"), uuid=5), ValueError),  # type: ignore[arg-type]
        (UserMessage(message=UserBody(content=[UnknownBlock(data=object())])), TypeError),
    ],
)
def test_what_is_no_prompt_is_refused(prompt: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        user_message(prompt)
