"""A text that counts how often it is compared with others."""


class CountedText(str):
    """A key of a line that is gone through: whoever looks for one compares it with those before it."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedText.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__
