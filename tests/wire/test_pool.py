"""Which idle connection is lent, and which are closed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headroom.wire.pool import Pool


@dataclass(eq=False)
class Link:
    """A connection."""

    usable: bool = True


@pytest.fixture
def pool() -> Pool[str, Link]:
    """Ten seconds, three connections for each origin."""
    return Pool(10, 3)


def test_the_newest_connection_is_lent_first(pool: Pool[str, Link]) -> None:
    old, new = Link(), Link()
    pool.put("a", old, 0)
    pool.put("a", new, 1)
    assert [pool.take("a", 2), pool.take("a", 2), pool.take("a", 2)] == [new, old, None]


def test_a_connection_serves_its_own_origin_only(pool: Pool[str, Link]) -> None:
    pool.put("a", Link(), 0)
    assert pool.take("b", 0) is None
    assert len(pool) == 1


def test_a_dead_connection_is_not_lent(pool: Pool[str, Link]) -> None:
    alive, dead = Link(), Link(usable=False)
    pool.put("a", alive, 0)
    pool.put("a", dead, 0)
    assert pool.take("a", 0) is alive
    assert len(pool) == 0


def test_a_connection_expires_after_its_time_and_not_before(pool: Pool[str, Link]) -> None:
    link = Link()
    pool.put("a", link, 0)
    assert pool.expire(10) == []
    assert pool.expire(10.1) == [link]
    assert len(pool) == 0
    pool.put("a", link, 0)
    assert pool.take("a", 10.1) is None


def test_over_the_limit_the_oldest_is_to_be_closed(pool: Pool[str, Link]) -> None:
    links = [Link() for _ in range(4)]
    assert [pool.put("a", link, at) for at, link in enumerate(links)] == [None, None, None, links[0]]
    assert pool.put("b", Link(), 4) is None
    assert len(pool) == 4


def test_clearing_hands_back_every_connection(pool: Pool[str, Link]) -> None:
    links = [Link(), Link()]
    pool.put("a", links[0], 0)
    pool.put("b", links[1], 0)
    assert pool.clear() == links
    assert (len(pool), pool.clear(), pool.take("a", 0)) == (0, [], None)


class Lending(RuleBasedStateMachine):
    """Any order of uses: a connection is held once, lent alive and in time, and never lost but by being unusable."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool[str, Link] = Pool(10, 2)
        self.held: list[tuple[str, float, Link]] = []
        self.now = 0.0

    def drop(self, link: Link) -> None:
        self.held = [entry for entry in self.held if entry[2] is not link]

    @rule(origin=st.sampled_from("ab"), usable=st.booleans())
    def put(self, origin: str, usable: bool) -> None:
        link = Link(usable)
        self.held.append((origin, self.now, link))
        closed = self.pool.put(origin, link, self.now)
        own = [entry[2] for entry in self.held if entry[0] == origin]
        assert closed is (own[0] if len(own) > 2 else None)
        if closed is not None:
            self.drop(closed)

    @rule(origin=st.sampled_from("ab"))
    def take(self, origin: str) -> None:
        link = self.pool.take(origin, self.now)
        for held_origin, since, held in reversed(list(self.held)):
            if held_origin == origin:
                self.drop(held)
                if held.usable and self.now - since <= 10:
                    assert link is held
                    return
        assert link is None

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        gone = {id(link) for link in self.pool.expire(self.now)}
        assert gone == {id(link) for _, since, link in self.held if self.now - since > 10}
        self.held = [entry for entry in self.held if id(entry[2]) not in gone]

    @invariant()
    def counted(self) -> None:
        assert len(self.pool) == len(self.held)


TestLending = Lending.TestCase
