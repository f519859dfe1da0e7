"""Who may use a gateway, and for what: tokens, of which only hashes are kept."""

import hmac
import math
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from typing import Final, Protocol, final, get_args

import trio
from msgspec import Struct

from triologue.errors import InvalidOption, brief
from triologue.manager.prompts import check_text
from triologue.protocol.told import Right

RIGHTS: Final[frozenset[Right]] = frozenset(get_args(Right))
MAX_TEXT: Final = 512
"""Characters of a name or a prefix."""

_MARK = "tri"
_SECRET_BYTES = 32
"""Nobody guesses 256 random bits, so one round of SHA-256 keeps them as well as a slow hash would."""
_NO_HASH = bytes(sha256().digest_size)


class Grant(Struct, frozen=True, kw_only=True):
    """What a token allows."""

    id: str
    """Not secret: it is in logs, and in the meta of turns."""
    name: str
    """For people."""
    rights: frozenset[Right]
    prefix: str = ""
    """Other keys than those that begin with it do not exist for this token."""
    expires: float | None = None
    """In seconds since the epoch; None: never."""

    def is_valid(self, now: float) -> bool:
        """Has it not expired?"""
        return self.expires is None or now < self.expires


LOCAL: Final = Grant(id="local", name="local", rights=RIGHTS)
"""Everything: what each client has where no tokens are asked for."""


class KeptToken(Struct, frozen=True, kw_only=True):
    """A token as it is kept."""

    grant: Grant
    sha256: str
    """Of the secret part, in hex."""


class Tokens(Protocol):
    """Knows tokens. A program with users of its own may bring another one than those here.

    What `get` or `watch` raises may end the gateway's block, as nobody could tell any more who may stay: where a database is
    away for a while, go on with what it said last.
    """

    def check(self, token: str, now: float) -> Grant | None:
        """What this token allows; None: nobody knows it, or it was revoked or has expired.

        How long that takes says nothing of how near a guess was.

        Args:
            token: as the client sent it.
            now: in seconds since the epoch.
        """
        ...

    def get(self, id: str, now: float) -> Grant | None:
        """The grant of this id; None as above."""
        ...

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever a grant may have been withdrawn or changed, until cancelled; expiry is no change."""
        ...


@final
class MemoryTokens:
    """Tokens of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptToken] = {}
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return f"<MemoryTokens: {len(self._kept)}>"

    def add(
        self, name: str, *, rights: Collection[Right] = RIGHTS, prefix: str = "", expires: float | None = None
    ) -> str:
        """Make a token; its text is returned this once, and not kept.

        Raises:
            InvalidOption: a value that cannot be.
        """
        token, kept = mint(name, rights=rights, prefix=prefix, expires=expires)
        self._kept[kept.grant.id] = kept
        return token

    def revoke(self, id: str) -> bool:
        """Forget a token, by its id or its text; False: there is none."""
        found = self._kept.pop(id_of(id), None)
        if found is not None:
            self._changed.set()
            self._changed = trio.Event()
        return found is not None

    def grants(self) -> list[Grant]:
        """All of them, those that have expired too."""
        return [each.grant for each in self._kept.values()]

    def check(self, token: str, now: float) -> Grant | None:
        """See `Tokens`."""
        return match(self._kept, token, now)

    def get(self, id: str, now: float) -> Grant | None:
        """See `Tokens`."""
        return find(self._kept, id, now)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """See `Tokens`."""
        while True:
            await self._changed.wait()
            on_change()


def mint(
    name: str, *, rights: Iterable[Right], prefix: str = "", expires: float | None = None
) -> tuple[str, KeptToken]:
    """A new token: its text, and what is kept of it.

    Raises:
        InvalidOption: no name, no rights or others than there are, a prefix that no key has, no time.
    """
    if not 0 < len(name) <= MAX_TEXT or not name.isprintable():
        raise InvalidOption(f"a token's name is 1 to {MAX_TEXT} printable characters, not {brief(name)}")
    if len(prefix) > MAX_TEXT:
        raise InvalidOption(f"a prefix has at most {MAX_TEXT} characters, and {brief(prefix)} has {len(prefix)}")
    check_text("the prefix ", prefix)
    granted = frozenset(rights)
    if not granted or not granted <= RIGHTS:
        raise InvalidOption(f"rights are some of {', '.join(sorted(RIGHTS))}, not {brief(sorted(granted))}")
    if expires is not None and not math.isfinite(expires):
        raise InvalidOption(f"expires={expires} is no time in seconds since the epoch")
    id, secret = secrets.token_hex(4), secrets.token_urlsafe(_SECRET_BYTES)
    grant = Grant(id=id, name=name, rights=granted, prefix=prefix, expires=expires)
    return f"{_MARK}_{id}_{secret}", KeptToken(grant=grant, sha256=_hash(secret).hex())


def id_of(token: str) -> str:
    """The id within a token's text; what is no such text is taken for an id."""
    mark, _, rest = token.partition("_")
    return rest.partition("_")[0] if mark == _MARK and rest else token


def match(kept: Mapping[str, KeptToken], token: str, now: float) -> Grant | None:
    """`Tokens.check`, in what is kept by id."""
    mark, _, rest = token.partition("_")
    id, _, secret = rest.partition("_")
    found = kept.get(id)
    # An id that nobody has is compared too, so that it takes no less time than a wrong secret.
    is_right = hmac.compare_digest(_hash(secret), bytes.fromhex(found.sha256) if found is not None else _NO_HASH)
    return find(kept, id, now) if is_right and mark == _MARK else None


def find(kept: Mapping[str, KeptToken], id: str, now: float) -> Grant | None:
    """`Tokens.get`, in what is kept by id."""
    found = kept.get(id)
    return found.grant if found is not None and found.grant.is_valid(now) else None


def _hash(secret: str) -> bytes:
    return sha256(secret.encode(errors="surrogatepass")).digest()
