import asyncio
import dataclasses

import pytest

from memory_cache import DamagedSessionError, SessionKey
from memory_cache._delta import Delta
from memory_cache._ports import FOREVER, Span
from memory_cache._types import Header, Meta, StoredMessage
from unit.near import KEY, NOW, ONE, Near, messages, snapshot
from unit.strategies import append, header


def test_answers_after_subscribe_and_snapshot() -> None:
    """A session answers once its channel is open and a snapshot asked for since is in."""
    near = Near()
    first = near.begin()
    assert near.subscribed == [KEY]
    assert near.seen() is None
    near.land(first, 3)
    assert near.seen() is None
    near.cache.opened(KEY)
    near.land(near.begin(), 3)
    assert near.seen() == [0, 1, 2]
    assert near.seen(2) == [1, 2]
    assert near.seen(0) == []


def test_answers_only_under_lease() -> None:
    """The near cache answers up to the end of its lease, and not at it."""
    near = Near()
    near.load(3)
    assert near.seen(now=NOW + 0.999) == [0, 1, 2]
    assert near.seen(now=NOW + 1) is None
    assert near.cache.live(KEY)


def test_applies_what_continues() -> None:
    """Deltas in order are applied; one that was missed makes suspect, and is never skipped."""
    near = Near()
    near.load(3)
    near.hear(append(4))
    assert near.seen() == [0, 1, 2, 3]
    near.hear(append(4))
    assert near.seen() == [0, 1, 2, 3]
    near.hear(append(6))
    assert near.seen() is None
    assert near.counters.suspects == {"gap": 1}


def test_snapshot_and_what_was_heard_meanwhile() -> None:
    """What is heard while a snapshot is under way is put on top of it, once."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    for num in (3, 4, 5):
        near.hear(append(num))
    near.land(load, 4)
    assert near.seen() == [0, 1, 2, 3, 4]


def test_snapshot_that_misses_what_was_heard() -> None:
    """A snapshot that what was heard does not continue is held, and does not answer."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    load = near.begin()
    near.hear(append(6))
    near.land(load, 4)
    assert near.seen() is None
    assert near.cache.holds(KEY)


def test_older_load_takes_nothing_from_a_newer_one() -> None:
    """A load that began before the channel was open does not drop what a newer load has heard."""
    near = Near()
    old = near.begin()
    near.cache.opened(KEY)
    new = near.begin()
    near.hear(append(6))
    near.land(old, 5)
    near.land(new, 5)
    assert near.seen() in ([0, 1, 2, 3, 4, 5], None)


def test_suspect_is_revalidated() -> None:
    """A suspect keeps its data: a load asks for the rest only, which is put on top."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "late")
    load = near.begin()
    assert load.have is not None
    assert (load.have.header.num, load.have.next) == (3, 3)
    near.land(load, 5, span=snapshot(5, start=3, fields=None))
    assert near.seen() == [0, 1, 2, 3, 4]
    assert near.counters.revalidated == 1
    assert near.counters.reloaded == 0


@pytest.mark.parametrize(
    "other",
    [
        header(3, inc="other", next_=5),
        header(3, edits=7, next_=5),
        header(3, next_=5)._replace(tag="other"),
        header(2, next_=5),
    ],
)
def test_other_history_is_never_mixed(other: Header) -> None:
    """What does not descend from what is held takes its place as a whole."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "late")
    load = near.begin()
    near.land(load, 0, span=Span(other, FOREVER, b"{}", 4, messages(4, 5), 9))
    assert near.seen(1) == [4]
    assert near.seen(2) is None
    assert near.counters.reloaded == 1


def test_lost_generation_makes_all_suspect() -> None:
    """With its generation every session stops answering; loads of before make none answer."""
    near = Near()
    near.load(3)
    stale = near.begin(SessionKey("", "", "other"))
    near.cache.lost()
    near.connect()
    assert near.seen() is None
    near.cache.opened(stale.entry.key)
    near.land(stale, 2)
    assert near.seen(key=stale.entry.key) is None
    assert near.cache.begin(KEY) is not None
    assert near.subscribed.count(KEY) == 2


def test_nothing_is_loaded_without_a_bus() -> None:
    """While there is no subscription nothing is put into the near cache."""
    near = Near()
    near.cache.lost()
    assert near.cache.begin(KEY) is None


def test_edits_and_deletes_make_suspect() -> None:
    """A change that does not carry itself makes suspect, and says why."""
    near = Near()
    for kind in "CD":
        near.load(3)
        near.hear(Delta(kind, "t3", header(4), -1, None, None))
        assert near.seen() is None
    assert near.counters.suspects == {"edited": 2}


def test_gone_session_is_not_held() -> None:
    """That there is no session is never remembered: nothing is held of it."""
    near = Near()
    near.load(3)
    near.cache.doubt(KEY, "edited")
    near.cache.gone(near.begin())
    assert not near.cache.holds(KEY)
    assert near.cache.sessions_held == 0
    assert near.cache.bytes_held == 0


def test_deadline_ends_answering() -> None:
    """A session does not answer beyond its time to live, counted from when it was asked for."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    near.land(near.begin(), 0, span=snapshot(3, left_ms=500))
    assert near.seen(now=NOW + 0.498) == [0, 1, 2]
    assert near.seen(now=NOW + 0.5) is None
    assert near.seen(now=NOW) is None


def test_delta_moves_the_deadline() -> None:
    """A change that restarts or ends the time to live does so in the near cache, too."""
    near = Near()
    near.load(3)
    near.hear(_left(4, 200))
    assert near.seen(now=NOW + 0.198) is not None
    near.hear(_left(5, 700))
    assert near.seen(now=NOW + 0.698) is not None
    near.hear(_left(6, -1))
    assert near.seen(now=NOW + 0.999) is not None


def test_fields_follow_their_changes() -> None:
    """Fields come with the snapshot or a delta, and stay when neither brings any."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    near.land(near.begin(), 0, span=snapshot(1, fields=b'{"a":1}'))
    near.hear(append(2))
    page = near.cache.answer(KEY, ONE, NOW)
    assert page is not None
    assert page.fields == {"a": 1}
    after = header(3, next_=2)._replace(fields_num=3)
    near.hear(Delta("A", "t2", after, -1, b'{"a":2}', ()))
    page = near.cache.answer(KEY, ONE, NOW)
    assert page is not None
    assert page.fields == {"a": 2}
    assert page.end == 2


def test_ring_that_does_not_reach_back() -> None:
    """What the ring does not hold is not answered, and what it holds is."""
    near = Near(ring_messages=4)
    near.load(9)
    assert near.seen(4) == [5, 6, 7, 8]
    assert near.seen(5) is None


def test_ring_longer_than_the_store_says() -> None:
    """What the store took back without a change is not answered: the ring is begun anew."""
    near = Near()
    near.load(5)
    near.cache.doubt(KEY, "audit")
    short = dataclasses.replace(snapshot(5), header=header(5, next_=4), messages=messages(0, 4))
    near.land(near.begin(), 5, span=short)
    assert near.seen() == [0, 1, 2, 3]


async def test_own_write_waits_for_its_delta() -> None:
    """A change to a session that answers has passed when its delta, or a doubt, has."""
    near = Near()
    near.load(3)
    future = near.cache.passed(KEY, header(4))
    assert future is not None
    near.hear(append(4))
    assert future.done()
    assert near.cache.passed(KEY, header(4)) is None
    other = near.cache.passed(KEY, header(6))
    assert other is not None
    near.hear(append(5))
    assert not other.done()
    near.cache.doubt(KEY, "late")
    assert other.done()
    assert near.cache.passed(KEY, header(9)) is None


async def test_abandoned_waits_are_not_kept() -> None:
    """Who stops waiting for a version leaves nothing behind."""
    near = Near()
    near.load(3)
    future = near.cache.passed(KEY, header(10**6))
    assert future is not None
    future.cancel()
    await asyncio.sleep(0)  # what is done is told in the next turn of the loop
    assert len(near.cache.waiters) == 0


def _left(num: int, left_ms: int) -> Delta:
    return dataclasses.replace(append(num), left_ms=left_ms)


async def test_doubt_ends_the_wait_of_a_load() -> None:
    """Who waits for his change while a snapshot is under way is woken when that is given up."""
    near = Near()
    near.begin()
    near.cache.opened(KEY)
    near.begin()
    future = near.cache.passed(KEY, header(5))
    assert future is not None
    near.cache.doubt(KEY, "late")
    assert future.done()


async def test_own_write_is_not_taken_for_a_lost_one() -> None:
    """After a failover a lost change of the same number does not stand in for ours."""
    near = Near()
    near.load(1)
    reigns = (*header(1).eras, ("another", 2))
    ours = header(2, next_=2)._replace(tag="ours", eras=reigns)
    future = near.cache.passed(KEY, ours)
    assert future is not None
    near.hear(append(2))
    await asyncio.sleep(0)
    assert not future.done()
    near.cache.doubt(KEY, "late")
    await asyncio.wait_for(future, 1)
    assert near.seen() is None


def test_damaged_snapshot_changes_nothing() -> None:
    """A snapshot with a message that cannot be read is refused whole; what is held stays."""
    near = Near()
    near.load(2)
    near.cache.doubt(KEY, "late")
    for damaged in (_unreadable(4), dataclasses.replace(snapshot(4), messages=messages(0, 3))):
        load = near.begin()
        with pytest.raises(DamagedSessionError):
            near.cache.land(load, damaged, NOW, ONE)
        near.cache.check()
        near.cache.failed(load)
        assert near.seen() is None
    near.land(near.begin(), 2)
    assert near.seen() == [0, 1]


def test_change_that_does_not_add_up() -> None:
    """A change whose messages are fewer or more than its header says is not applied, nor kept."""
    for odd in (append(4, *messages(3, 5), next_=4), append(4, next_=5)):
        near = Near()
        near.load(3)
        near.hear(odd)
        assert near.seen() is None
        assert near.counters.suspects == {"undecodable": 1}
        load = near.begin()
        near.hear(odd)
        near.land(load, 3)
        assert near.seen() is None


def _unreadable(num: int) -> Span:
    """A snapshot whose last message but one is no contract message, and cannot be made one."""
    span = snapshot(num)
    torn = StoredMessage(b'{"n":', Meta(own_view=False, tokens=1, created_at=0, id=""))
    return dataclasses.replace(span, messages=[*span.messages[:-2], torn, span.messages[-1]])
