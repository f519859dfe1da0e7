"""Tokens: what is kept of them, who is let in by them, and what is no token."""

import hmac
from collections.abc import Sequence

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from triologue.errors import InvalidOption
from triologue.gateway.tokens import LOCAL, RIGHTS, Grant, MemoryTokens, id_of, mint


def test_a_token_gives_what_it_was_made_for() -> None:
    tokens = MemoryTokens()
    token = tokens.add("phone", rights={"watch", "approve"}, prefix="team-a/", expires=100.0)
    mark, id, secret = token.split("_", 2)
    assert (mark, len(secret)) == ("tri", 43), "43 characters of base64 are 256 bits"
    grant = Grant(id=id, name="phone", rights=frozenset(["watch", "approve"]), prefix="team-a/", expires=100.0)
    assert tokens.grants() == [grant]
    assert tokens.check(token, 99.9) == tokens.get(id, 99.9) == grant


def test_an_expired_token_is_none() -> None:
    tokens = MemoryTokens()
    token = tokens.add("phone", expires=100.0)
    assert tokens.check(token, 100.0) is None
    assert tokens.get(id_of(token), 100.0) is None


def test_a_revoked_token_is_none() -> None:
    tokens = MemoryTokens()
    by_id, by_text = tokens.add("a"), tokens.add("b")
    assert tokens.revoke(id_of(by_id))
    assert tokens.revoke(by_text)
    assert not tokens.revoke("none")
    assert (tokens.check(by_id, 0.0), tokens.check(by_text, 0.0), tokens.grants()) == (None, None, [])


def test_nothing_of_the_secret_is_kept() -> None:
    token, kept = mint("phone", rights=RIGHTS)
    secret = token.split("_", 2)[2]
    assert secret not in repr(kept)


def test_guesses_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tokens = MemoryTokens()
    token = tokens.add("phone")
    guesses = [token, token[:-1], f"tri_{id_of(token)}_", "tri_00000000_x", "tri", ""]
    assert [tokens.check(guess, 0.0) is not None for guess in guesses] == [True, False, False, False, False, False]
    assert compared == [(32, 32)] * len(guesses), "an unknown id is compared as well"


@given(st.text(max_size=100))
def test_no_other_text_is_a_token(guess: str) -> None:
    tokens = MemoryTokens()
    tokens.add("phone")
    assert tokens.check(guess, 0.0) is None


def test_two_tokens_are_never_the_same() -> None:
    assert len({mint("phone", rights=RIGHTS)[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("name", "rights", "prefix", "expires", "said"),
    [
        ("", ["watch"], "", None, "a token's name is 1 to 512 printable characters, not ''"),
        ("a\nb", ["watch"], "", None, "printable"),
        ("a", [], "", None, "rights are some of admin, approve, prompt, watch"),
        ("a", ["root"], "", None, "rights are some of .* not \\['root'\\]"),
        ("a", ["watch"], "x" * 513, None, "a prefix has at most 512 characters"),
        ("a", ["watch"], "a\udcff", None, "the prefix .* has half a character in it"),
        ("a", ["watch"], "", float("nan"), "expires=nan is no time"),
    ],
)
def test_what_cannot_be(name: str, rights: Sequence[str], prefix: str, expires: float | None, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        mint(name, rights=rights, prefix=prefix, expires=expires)  # type: ignore[arg-type]


async def test_whoever_watches_hears_of_a_revocation() -> None:
    tokens = MemoryTokens()
    token = tokens.add("phone")
    heard: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.watch, lambda: heard.append(len(tokens.grants())))
        await trio.testing.wait_all_tasks_blocked()
        tokens.revoke("none")
        await trio.testing.wait_all_tasks_blocked()
        assert heard == []
        tokens.revoke(token)
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [0]
        nursery.cancel_scope.cancel()


def test_where_nobody_is_asked_everything_may_be_done() -> None:
    assert (LOCAL.rights, LOCAL.prefix, LOCAL.is_valid(1e12)) == (RIGHTS, "", True)
