"""A text that counts how often it is looked at: whoever goes through many is seen by that."""


class CountedText(str):
    """A key, or an id."""

    __slots__ = ()
    comparisons = hashes = 0

    def __eq__(self, other: object) -> bool:
        CountedText.comparisons += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        CountedText.hashes += 1
        return str.__hash__(self)
