"""What a record in the program's log file has besides its text."""


def log_extra(key: str | None, turn_id: str | None = None) -> dict[str, str | None]:
    """The `extra` of a record: always both fields, since a format that names one fails where a record lacks it.

    Args:
        key: of the session that it is about; None: of none alone.
        turn_id: of the turn, where it is about one.
    """
    return {"session_key": key, "turn_id": turn_id}
