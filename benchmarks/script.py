"""A script for a replay in memory: what the agent answers to each frame, with little left to do when the clock runs."""

from typing import final

import corpus


@final
class Script:
    """Turns for one conversation, told in order. Prompt ids are written over their placeholders, as the player does.

    Args:
        turns: the turn for each prompt.
    """

    def __init__(self, *turns: bytes) -> None:
        self._turns = iter([(bytearray(turn), _places(turn)) for turn in turns])
        self._initialize = corpus.initialize_response().decode()
        self.first_read = 0.0
        """When the latest turn's first bytes were read, by the performance counter."""

    def answer(self, request_id: str) -> list[memoryview]:
        """The bytes that answer a control request."""
        head = f'{{"type":"control_response","response":{{"subtype":"success","request_id":"{request_id}","response":'
        return [memoryview(f"{head}{self._initialize}}}}}\n".encode())]

    def next_turn(self, prompt_id: str | None) -> list[memoryview]:
        """The bytes of the next turn, between `command_lifecycle` frames if the prompt has an id."""
        turn, places = next(self._turns)
        ids = corpus.PROMPT_IDS.replace(corpus.PROMPT_ID.encode(), prompt_id.encode()) if prompt_id else b""
        for place in places:
            turn[place : place + len(corpus.PROMPT_IDS)] = ids.ljust(len(corpus.PROMPT_IDS))
        if prompt_id is None:
            return [memoryview(turn)]
        begin = _lifecycle(prompt_id, "queued") + _lifecycle(prompt_id, "started")
        return [memoryview(part) for part in (begin, turn, _lifecycle(prompt_id, "completed"))]


def chunks(part: memoryview, size: int) -> list[memoryview]:
    """What each read of a pipe gives of it, before it is copied out; `size` is that of a read of this side."""
    return [part[start : start + size] for start in range(0, len(part), size)]


def _places(turn: bytes) -> list[int]:
    places = []
    start = turn.find(corpus.PROMPT_IDS)
    while start >= 0:
        places.append(start)
        start = turn.find(corpus.PROMPT_IDS, start + 1)
    return places


def _lifecycle(prompt_id: str, state: str) -> bytes:
    ids = f'"uuid":"11111111-1111-4111-8111-{len(state):012}","session_id":"{corpus.SESSION_ID}"'
    return f'{{"type":"command_lifecycle","command_uuid":"{prompt_id}","state":"{state}",{ids}}}\n'.encode()
