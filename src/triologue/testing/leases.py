"""What every session store must do about who may write: a part of `SessionStoreContract`."""

from contextlib import AbstractAsyncContextManager

from triologue.errors import LeaseLost, SessionElsewhere
from triologue.ports import Append, Lease, SessionStore, StoredSession
from triologue.testing.scribe import LONG, Scribe, error_of, everything, record


class LeaseContract:
    """The checks. Each opens stores of its own."""

    def open_store(self, place: str) -> AbstractAsyncContextManager[SessionStore]:
        """A store, open inside the block: empty where nobody opened this `place` before in the same test."""
        raise NotImplementedError("say how a store is opened")

    async def test_one_at_a_time_holds_a_session(self) -> None:
        async with self.open_store("a") as store:
            lease, _ = await store.acquire("k", owner="me", ttl=LONG)
            try:
                await store.acquire("k", owner="you", ttl=LONG)
            except SessionElsewhere as error:
                assert (error.owner, error.until) == ("me", lease.until)
            else:
                raise AssertionError("it was given to two")
            await store.acquire("another", owner="you", ttl=LONG)
            assert await store.holders(["k", "another", "nobody's"]) == {"k": "me", "another": "you"}
            await store.release(lease)
            assert await store.holders(["k"]) == {}
            later, _ = await store.acquire("k", owner="you", ttl=LONG)
            await store.release(lease)  # without effect: it is not theirs any more
            assert await error_of(store.acquire("k", owner="me", ttl=LONG)) is SessionElsewhere
            assert later.token > lease.token

    async def test_a_lease_that_ended_gives_the_session_to_whoever_comes(self) -> None:
        async with self.open_store("a") as store:
            ended, _ = await store.acquire("k", owner="me", ttl=0.0)
            assert await store.holders(["k"]) == {}
            await store.acquire("k", owner="you", ttl=LONG)
            assert await store.holders(["k"]) == {"k": "you"}
            assert await store.renew([ended], ttl=LONG) == []
            assert await error_of(store.acquire("k", owner="me", ttl=LONG)) is SessionElsewhere

    async def test_leases_are_renewed_unless_they_were_lost(self) -> None:
        async with self.open_store("a") as store:
            mine, _ = await store.acquire("mine", owner="me", ttl=0.0)
            lost, _ = await store.acquire("lost", owner="me", ttl=0.0)
            gone, _ = await store.acquire("gone", owner="me", ttl=LONG)
            await store.acquire("lost", owner="you", ttl=LONG)
            await store.release(gone)
            held = await store.renew([mine, lost, gone], ttl=LONG)
            assert [(lease.key, lease.owner, lease.token) for lease in held] == [("mine", "me", mine.token)]
            assert held[0].until > mine.until
            assert await error_of(store.acquire("mine", owner="you", ttl=LONG)) is SessionElsewhere

    async def test_an_owner_that_is_known_to_be_dead_is_replaced(self) -> None:
        async with self.open_store("a") as store:
            lost, _ = await store.acquire("k", owner="dead", ttl=LONG)
            assert await error_of(store.acquire("k", owner="me", ttl=LONG, replaces="another")) is SessionElsewhere
            lease, _ = await store.acquire("k", owner="me", ttl=LONG, replaces="dead")
            assert lease.token > lost.token
            assert await store.renew([lost, lease], ttl=LONG) != []
            head = StoredSession(key="k", last_seq=1)
            assert await error_of(store.append(Append(lease=lost, session=head, records=[record(1)]))) is LeaseLost
            await store.append(Append(lease=lease, session=head, records=[record(1)]))

    async def test_the_same_owner_may_take_its_lease_anew(self) -> None:
        """Its first call may have been cancelled, and have had its effect all the same."""
        async with self.open_store("a") as store:
            first, _ = await store.acquire("k", owner="me", ttl=LONG)
            second, _ = await store.acquire("k", owner="me", ttl=LONG)
            assert second.token > first.token
            assert await store.renew([first, second], ttl=LONG) != []
            assert await error_of(Scribe(store, first).write("x")) is LeaseLost
            await Scribe(store, second).write("x")

    async def test_a_lease_that_ended_may_write_until_another_is_given_out(self) -> None:
        async with self.open_store("a") as store:
            stale = await Scribe.of(store, "k", owner="me", ttl=0.0)
            await stale.write("one")
            fresh = await Scribe.of(store, "k", owner="you")
            before = await everything(store, "k")
            assert await error_of(stale.write("two")) is LeaseLost
            assert await everything(store, "k") == before
            await fresh.write("two")
            assert await error_of(stale.write("three")) is LeaseLost

    async def test_tokens_only_grow_and_old_leases_stay_lost(self) -> None:
        async with self.open_store("a") as store:
            leases: list[Lease] = []
            for owner in ("me", "you", "me", "me"):
                scribe = await Scribe.of(store, "k", owner=owner)
                await scribe.write("x")
                leases.append(scribe.lease)
                await store.release(scribe.lease)
                assert await store.delete("k")
            tokens = [lease.token for lease in leases]
            assert tokens == sorted(set(tokens))
            for lease in leases:
                assert await error_of(Scribe(store, lease).write("x")) is LeaseLost
            assert await store.get_session("k") is None
            current = await Scribe.of(store, "k")
            for lease in leases:
                assert await error_of(Scribe(store, lease).write("x")) is LeaseLost
            await current.write("x")
