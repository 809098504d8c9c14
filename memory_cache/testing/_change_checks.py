"""What every store promises of changes: see ``Store`` and ``Terms``."""

from memory_cache._blocks import cut, layout
from memory_cache._config import CacheConfig
from memory_cache._errors import OperationReusedError, TooLargeError, VersionMismatchError
from memory_cache._ports import FOREVER, KEEP_TICKING, Condition, Store
from memory_cache._types import BLOCK, SessionKey, Version
from memory_cache.testing._large_checks import LARGE_CHECKS
from memory_cache.testing._place import (
    Check,
    Place,
    again,
    edit,
    fresh_key,
    message,
    messages,
    refused,
    stored,
    terms,
    whole,
)

_CONFIG = CacheConfig()
_HOUR_MS = 3_600_000


async def append_creates(place: Place) -> None:
    """The first append makes the session, at version 1 of a new incarnation."""
    async with place.open(_CONFIG) as ports:
        key, sent, attempt = fresh_key(), messages(0, 3), terms()
        outcome = await ports.store.append(key, sent, None, attempt)
        span = await ports.store.tail(key, 10)
        assert span is not None
        header = span.header
        assert outcome.header == header
        assert (outcome.start, outcome.end) == (0, 3)
        assert not outcome.replayed
        assert not outcome.missing
        assert (header.num, header.tag, header.first, header.next) == (1, attempt.tag, 0, 3)
        assert (header.edits, header.fields_num, header.ttl_ms) == (0, 0, 0)
        assert header.size == sum(len(one.body) for one in sent)
        assert header.token_count == sum(one.meta.tokens for one in sent)
        assert header.max_created == sent[-1].meta.created_at
        assert header.created == header.updated
        assert (span.messages, span.fields, span.left_ms) == (sent, b"{}", FOREVER)


async def append_continues(place: Place) -> None:
    """Appends of any size add at the end, over the bounds of blocks, and count."""
    async with place.open(_CONFIG) as ports:
        key, at = fresh_key(), 0
        for size in (1, 62, 1, 1, 130, 0, 64, 5):
            outcome = await ports.store.append(key, messages(at, at + size), None, terms())
            assert (outcome.start, outcome.end) == (at, at + size)
            at += size
        assert await stored(ports.store, key) == messages(0, at)
        assert outcome.header is not None
        assert (outcome.header.num, outcome.header.edits) == (8, 0)


async def versions_make_a_history(place: Place) -> None:
    """Each version holds those before it, and none of another session or another tag."""
    async with place.open(_CONFIG) as ports:
        key = fresh_key()
        first = (await ports.store.append(key, messages(0, 1), None, terms())).header
        second = (await ports.store.rewrite(key, whole(messages(0, 1)), None, terms())).header
        other = (await ports.store.append(fresh_key(), messages(0, 1), None, terms())).header
        assert first is not None
        assert second is not None
        assert other is not None
        assert second.holds(first.version)
        assert not first.holds(second.version)
        assert not second.holds(other.version)
        forged = Version(second.inc, second.version.era, second.num, "0" * 16)
        assert not second.holds(forged)


async def fields_are_replaced_or_left(place: Place) -> None:
    """Fields that are given replace the old ones; None leaves them, in appends and edits."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, (), b'{"a":1}', terms())
        await store.append(key, messages(0, 1), None, terms())
        await store.rewrite(key, whole(messages(5, 9)), None, terms())
        span = await store.tail(key, 0)
        assert span is not None
        assert (span.fields, span.header.fields_num) == (b'{"a":1}', 1)
        await store.rewrite(key, whole(messages(5, 9)), b'{"b":2}', terms())
        span = await store.tail(key, 0)
        assert span is not None
        assert (span.fields, span.header.fields_num) == (b'{"b":2}', 4)


async def operation_is_done_once(place: Place) -> None:
    """A second attempt at an operation changes nothing and brings the first result."""
    async with place.open(_CONFIG) as ports:
        key, store, attempt = fresh_key(), ports.store, terms(note=b"line\nline \x00\xff")
        first = await store.append(key, messages(0, 2), None, attempt)
        await store.append(key, messages(2, 3), None, terms())
        second = await store.append(key, messages(0, 2), None, again(attempt))
        assert second.replayed
        assert (second.header, second.start, second.end) == (first.header, first.start, first.end)
        assert second.note == first.note == attempt.note
        assert await stored(store, key) == messages(0, 3)


async def operation_id_is_not_reused(place: Place) -> None:
    """An operation id with another fingerprint is refused, and nothing is changed."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, messages(0, 2), None, terms(operation="o"))
        other_input = terms(operation="o", fingerprint="other")
        await refused(store.append(key, messages(0, 2), None, other_input), OperationReusedError)
        assert await stored(store, key) == messages(0, 2)
        # Another session's operations are its own.
        other = await store.append(fresh_key(), messages(0, 1), None, terms(operation="o"))
        assert not other.replayed


async def operation_is_forgotten(place: Place) -> None:
    """After its time an operation id is as new."""
    async with place.open(_CONFIG) as ports:
        key, store, attempt = fresh_key(), ports.store, terms(keep_ms=200)
        await store.append(key, messages(0, 1), None, attempt)
        await place.elapse(0.3)
        outcome = await store.append(key, messages(1, 2), None, again(attempt))
        assert not outcome.replayed
        assert await stored(store, key) == messages(0, 2)


async def operation_outlives_its_session(place: Place) -> None:
    """A late retry neither resurrects a deleted session nor deletes a re-created one."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        append, delete, nothing = terms(), terms(), terms()
        assert (await store.delete(key, nothing)).header is None
        await store.append(key, messages(0, 1), None, append)
        await store.delete(key, delete)
        assert (await store.append(key, messages(0, 1), None, again(append))).replayed
        assert await store.tail(key, 1) is None
        await store.append(key, messages(7, 9), None, terms())
        for late in (delete, nothing):
            assert (await store.delete(key, again(late))).replayed
        assert await stored(store, key) == messages(7, 9)


async def operation_goes_before_condition(place: Place) -> None:
    """A second attempt is answered even where its condition no longer holds."""
    async with place.open(_CONFIG) as ports:
        key, attempt = fresh_key(), terms(condition=Condition(None))
        await ports.store.append(key, messages(0, 1), None, attempt)
        assert (await ports.store.append(key, messages(0, 1), None, again(attempt))).replayed


async def condition_must_hold(place: Place) -> None:
    """A change under a version that is not current changes nothing and says which is."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        first = (await store.append(key, messages(0, 1), None, terms())).header
        assert first is not None
        held = Condition(first.version)
        second = (await store.append(key, messages(1, 2), None, terms(condition=held))).header
        assert second is not None
        for wrong in (held, Condition(None)):
            call = store.append(key, messages(2, 3), None, terms(condition=wrong))
            assert (await refused(call, VersionMismatchError)).current == str(second.version)
        assert await stored(store, key) == messages(0, 2)
        call = store.append(fresh_key(), messages(0, 1), None, terms(condition=held))
        assert (await refused(call, VersionMismatchError)).current is None


async def fields_may_be_what_is_expected(place: Place) -> None:
    """A change that counts on the fields alone holds beside appends, not beside other fields."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        first = (await store.append(key, messages(0, 1), b'{"a":1}', terms())).header
        assert first is not None
        held = Condition(first.version, first.fields_num)
        await store.append(key, messages(1, 2), None, terms())
        second = (await store.append(key, (), b'{"a":2}', terms(condition=held))).header
        assert second is not None
        assert (second.num, second.fields_num) == (3, 3)
        call = store.append(key, (), b'{"a":3}', terms(condition=held))
        assert (await refused(call, VersionMismatchError)).current == str(second.version)
        call = store.append(fresh_key(), (), b'{"a":4}', terms(condition=held))
        assert (await refused(call, VersionMismatchError)).current is None


async def missing_is_told(place: Place) -> None:
    """A change that may not create makes no session, and its id is as new."""
    async with place.open(_CONFIG) as ports:
        key, store, attempt = fresh_key(), ports.store, terms(create=False)
        for outcome in (
            await store.append(key, messages(0, 1), None, attempt),
            await store.rewrite(key, whole(messages(0, 1)), None, again(attempt)),
        ):
            assert outcome.missing
            assert outcome.header is None
        assert await store.tail(key, 1) is None


async def session_has_a_limit(place: Place) -> None:
    """A session over its limit is refused, and nothing is changed."""
    async with place.open(CacheConfig(max_session_bytes=200)) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, [message(0, size=100)], None, terms())
        small, large = [message(1, size=100)], whole([message(1, size=200)])
        await refused(store.append(key, small, None, terms()), TooLargeError)
        await refused(store.rewrite(key, large, None, terms()), TooLargeError)
        assert await stored(store, key) == [message(0, size=100)]


async def edit_drops_everything(place: Place) -> None:
    """A whole edit leaves just what it brings, counts as an edit, and keeps the incarnation."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        before = (await store.append(key, messages(0, 150), None, terms())).header
        outcome = await store.rewrite(key, whole(messages(200, 270), 100), None, terms())
        after = outcome.header
        assert before is not None
        assert after is not None
        assert await stored(store, key) == messages(200, 270)
        assert (after.inc, after.created, after.num) == (before.inc, before.created, 2)
        assert (after.first, after.next, after.edits) == (100, 170, 1)
        assert (outcome.start, outcome.end) == (100, 170)
        await store.append(key, messages(270, 300), None, terms())
        assert await stored(store, key) == messages(200, 300)


async def edit_cuts_the_end(place: Place) -> None:
    """An edit told in fields of the record removes and writes just these."""
    async with place.open(_CONFIG) as ports:
        key, store, kept = fresh_key(), ports.store, messages(0, 130)
        header = (await store.append(key, kept, None, terms())).header
        for end in (129, 128, 127, 65, 64, 63, 1, 0):
            assert header is not None
            kept, begin = kept[:end], max(0, end - 1) // BLOCK * BLOCK
            max_before = kept[begin - 1].meta.created_at if begin else 0
            pairs, newest = layout(begin, kept[begin:], max_before)
            change = edit(kept, gone=cut(begin, 0, header.next), pairs=pairs, newest=newest)
            held = Condition(header.version)
            header = (await store.rewrite(key, change, None, terms(condition=held))).header
            assert await stored(store, key) == kept
        await store.append(key, messages(0, 70), None, terms())
        assert await stored(store, key) == messages(0, 70)


async def delete_takes_everything(place: Place) -> None:
    """After a delete there is no session, and the next one is another incarnation."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        before = (await store.append(key, messages(0, 3), b"{}", terms())).header
        gone = await store.delete(key, terms())
        assert before is not None
        assert gone.header is not None
        assert gone.header.inc == before.inc
        assert gone.header.num == before.num + 1
        assert await store.tail(key, 1) is None
        assert (await store.delete(key, terms())).header is None
        after = (await store.append(key, messages(0, 1), None, terms())).header
        assert after is not None
        assert after.inc != before.inc
        assert (after.num, after.created >= before.created) == (1, True)


async def ttl_takes_its_four_forms(place: Place) -> None:
    """A time to live is restarted by every write, kept ticking, taken away, or set anew."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, messages(0, 1), None, terms(ttl_ms=_HOUR_MS))
        started = await _left(store, key)
        assert _HOUR_MS - 60_000 < started <= _HOUR_MS
        await place.elapse(0.05)
        ticked = await _left(store, key)
        assert ticked < started
        await store.append(key, messages(1, 2), None, terms())
        assert await _left(store, key) > ticked
        await store.rewrite(key, whole(messages(0, 1)), None, terms(ttl_ms=KEEP_TICKING))
        ticking = await _left(store, key)
        await place.elapse(0.05)
        await store.append(key, messages(1, 2), None, terms())
        await store.rewrite(key, whole(messages(0, 1)), None, terms())
        assert 0 < await _left(store, key) <= ticking - 50
        await store.append(key, (), None, terms(ttl_ms=2 * _HOUR_MS))
        assert await _left(store, key) > _HOUR_MS
        await store.append(key, (), None, terms(ttl_ms=0))
        assert await _left(store, key) == FOREVER
        await store.append(key, (), None, terms())
        assert await _left(store, key) == FOREVER


async def session_expires(place: Place) -> None:
    """A session whose time is over is gone, and the next one is another incarnation."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        before = (await store.append(key, messages(0, 1), None, terms(ttl_ms=200))).header
        await place.elapse(0.3)
        assert await store.tail(key, 1) is None
        after = (await store.append(key, messages(0, 2), None, terms())).header
        assert before is not None
        assert after is not None
        assert (after.inc != before.inc, after.ttl_ms, after.num) == (True, 0, 1)


async def _left(store: Store, key: SessionKey) -> int:
    span = await store.tail(key, 0)
    assert span is not None
    return span.left_ms


CHANGE_CHECKS: tuple[Check, ...] = (
    *LARGE_CHECKS,
    append_creates,
    append_continues,
    versions_make_a_history,
    fields_are_replaced_or_left,
    operation_is_done_once,
    operation_id_is_not_reused,
    operation_is_forgotten,
    operation_outlives_its_session,
    operation_goes_before_condition,
    condition_must_hold,
    fields_may_be_what_is_expected,
    missing_is_told,
    session_has_a_limit,
    edit_drops_everything,
    edit_cuts_the_end,
    delete_takes_everything,
    ttl_takes_its_four_forms,
    session_expires,
)
