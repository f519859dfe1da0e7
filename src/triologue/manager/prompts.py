"""What a caller hands in for a turn, refused here where it cannot be."""

from typing import Final

from triologue.errors import InvalidOption, brief
from triologue.messages import Prompt, UserMessage, user_message
from triologue.messages.loose import is_text

MAX_ID: Final = 256
"""Characters: a turn's id is in each of its events."""

MAX_META: Final = 64
"""Entries."""

MAX_META_TEXT: Final = 16 * 1024
"""Characters of all of them."""


def user_frame(prompt: Prompt) -> UserMessage:
    """The prompt as a user frame of its own.

    Raises:
        InvalidOption: it is no prompt.
    """
    try:
        return user_message(prompt)
    except RecursionError as error:
        raise InvalidOption(f"not a prompt: {error}") from None
    except (TypeError, ValueError) as error:
        raise InvalidOption(str(error)) from None


def check_labels(id: str | None, meta: dict[str, str] | None) -> None:
    """Refuse what no turn can be called.

    Raises:
        InvalidOption: an id that is no str, or a `meta` that is no dict of them; one of them is too long.
    """
    if id is not None and not isinstance(id, str):
        raise InvalidOption(f"id={brief(id)} is no str")
    if id is not None:
        check_text("id=", id)
    if id is not None and len(id) > MAX_ID:
        raise InvalidOption(f"id={brief(id)} has {len(id)} characters; a turn's id has at most {MAX_ID}")
    if meta and not (isinstance(meta, dict) and all(isinstance(word, str) for pair in meta.items() for word in pair)):
        raise InvalidOption(f"meta={brief(meta)} is no dict of str to str")
    if meta and (len(meta) > MAX_META or sum(map(len, [*meta, *meta.values()])) > MAX_META_TEXT):
        raise InvalidOption(
            f"meta={brief(meta)} is too long: it has at most {MAX_META} entries, of {MAX_META_TEXT} characters in all"
        )


def check_text(name: str, text: str) -> None:
    """Refuse a text that no store can keep.

    Args:
        name: what an error says before it.
        text: the text.

    Raises:
        InvalidOption: it has half a character in it.
    """
    if not is_text(text):
        raise InvalidOption(
            f"{name}{brief(text)} has half a character in it (a lone surrogate), which no store can keep"
        )
