"""Each law can be broken: with a mutant of our code in its place, its own test fails within a few examples."""

import pytest

from tests.support.laws import Law, Mutant, load_laws
from triologue.testing import LawBroken

LAWS = load_laws()


def test_every_law_has_a_test_and_a_mutant() -> None:
    assert [law.number for law in LAWS if not (law.test and law.told and law.mutants and law.wild)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "mutant"),
    [pytest.param(law, mutant, id=f"{law.number}-{mutant.name}") for law in LAWS for mutant in law.mutants],
)
def test_a_mutant_is_caught(law: Law, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.breaks(monkeypatch)
    with pytest.raises(AssertionError) as raised:
        law.look_for_a_case()
    # Not because the mutant is no working program: the law itself has to find it.
    found = {each.law for each in raised.value.complaints} if isinstance(raised.value, LawBroken) else set()
    assert found.isdisjoint({"nothing else raises", "nothing breaks"}), raised.value
