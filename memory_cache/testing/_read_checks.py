"""What every store promises of reads and of its index: see ``Store``."""

from memory_cache._blocks import digest
from memory_cache._config import CacheConfig
from memory_cache._ports import Have
from memory_cache._types import BLOCK, SessionKey
from memory_cache.testing._place import (
    Check,
    Place,
    assert_run,
    fresh_key,
    messages,
    stored,
    terms,
    whole,
)

_CONFIG = CacheConfig()


async def absent_is_none(place: Place) -> None:
    """Of a session that does not exist every read is None, and no part of it is there."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        header = (await store.append(fresh_key(), messages(0, 64), None, terms())).header
        assert header is not None
        assert await store.tail(key, 10) is None
        assert await store.range(key, after=0, before=None, limit=10) is None
        assert await store.blocks(key, [0], header) is None
        assert await store.digests(key, [0], header) is None


async def tail_is_the_newest(place: Place) -> None:
    """A tail holds at least what was asked for, of whole blocks, and what came before it."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, messages(0, 200), None, terms())
        for count in (0, 1, 8, 9, 72, 73, 199, 200, 500):
            span = await store.tail(key, count)
            assert span is not None
            assert_run(span, max(0, 200 - count), 200)
            assert len(span.messages) < count + 2 * BLOCK
            assert span.messages == messages(span.start, 200)
            before = messages(0, span.start)
            assert span.max_before == max((one.meta.created_at for one in before), default=0)


async def tail_sends_what_is_lacking(place: Place) -> None:
    """A reader that holds a prefix is sent the rest, and the fields only if they changed."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        header = (await store.append(key, messages(0, 100), b'{"a":1}', terms())).header
        assert header is not None
        have = Have(header, header.next)
        same = await store.tail(key, 100, have)
        assert same is not None
        assert (same.header, same.fields, same.messages) == (header, None, [])
        await store.append(key, messages(100, 130), None, terms())
        more = await store.tail(key, 100, have)
        assert more is not None
        assert_run(more, 100, 130)
        assert more.start >= BLOCK
        assert (more.messages, more.fields) == (messages(more.start, 130), None)
        await store.append(key, (), b'{"a":2}', terms())
        changed = await store.tail(key, 100, have)
        assert changed is not None
        assert changed.fields == b'{"a":2}'


async def tail_tells_histories_apart(place: Place) -> None:
    """What a reader holds of an edited or re-made session is not built upon."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        header = (await store.append(key, messages(0, 5), b'{"a":1}', terms())).header
        assert header is not None
        have = Have(header, header.next)
        await store.rewrite(key, whole(messages(10, 16)), None, terms())
        edited = await store.tail(key, 20, have)
        assert edited is not None
        assert edited.messages == messages(10, 16)
        await store.delete(key, terms())
        await store.append(key, messages(20, 27), None, terms())
        remade = await store.tail(key, 20, have)
        assert remade is not None
        assert (remade.messages, remade.fields) == (messages(20, 27), b"{}")


async def tail_needs_the_same_version(place: Place) -> None:
    """What a reader holds of a version that the store never had is not built upon."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        header = (await store.append(key, messages(0, 5), b'{"a":1}', terms())).header
        assert header is not None
        lost = header._replace(num=header.num, tag="0" * 16)
        span = await store.tail(key, 20, Have(lost, lost.next))
        assert span is not None
        assert (span.messages, span.fields) == (messages(0, 5), b'{"a":1}')


async def range_is_on_one_side(place: Place) -> None:
    """A range covers what lies after or before a seq, clipped to what the session holds."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.rewrite(key, whole(messages(100, 300), 100), b'{"a":1}', terms())
        for seq in (0, 99, 100, 127, 128, 200, 299, 300, 400):
            for limit in (1, 70, 500):
                after = await store.range(key, after=seq, before=None, limit=limit)
                before = await store.range(key, after=None, before=seq, limit=limit)
                assert after is not None
                assert before is not None
                start = min(max(100, seq + 1), 300)
                assert_run(after, start, min(start + limit, 300))
                end = max(100, min(seq, 300))
                assert_run(before, max(100, end - limit), end)
                for span in (after, before):
                    assert span.messages == messages(span.start, span.start + len(span.messages))
                    assert span.fields == b'{"a":1}'
        newest = await store.range(key, after=None, before=None, limit=7)
        assert newest is not None
        assert_run(newest, 293, 300)


async def blocks_are_of_one_edit(place: Place) -> None:
    """Sealed blocks come whole for their (inc, edits), and not at all for another."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.rewrite(key, whole(messages(10, 100), 10), None, terms())
        header = (await store.append(key, messages(100, 300), None, terms())).header
        assert header is not None
        blocks = await store.blocks(key, [0, 2, 3], header)
        assert blocks is not None
        assert [block.start for block in blocks.values()] == [10, 128, 192]
        assert blocks[0].messages() == messages(10, 64)
        assert blocks[2].messages() == messages(128, 192)
        assert blocks[2].max_before == messages(127, 128)[0].meta.created_at
        assert await store.blocks(key, [], header) == {}
        await store.append(key, messages(300, 301), None, terms())
        assert await store.blocks(key, [3], header) is not None
        await store.rewrite(key, whole(messages(0, 300)), None, terms())
        assert await store.blocks(key, [3], header) is None
        assert await store.digests(key, [3], header) is None


async def blocks_are_of_one_history(place: Place) -> None:
    """Blocks of a session that was made again, and never edited, are not taken for the old ones."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        header = (await store.append(key, messages(0, 70), None, terms())).header
        assert header is not None
        await store.delete(key, terms())
        again = (await store.append(key, messages(100, 170), None, terms())).header
        assert again is not None
        assert again.edits == header.edits
        assert await store.blocks(key, [0], header) is None
        assert await store.digests(key, [0], header) is None
        assert await store.blocks(key, [0], again) is not None


async def digests_tell_blocks_apart(place: Place) -> None:
    """A sealed block whose messages all are their own view has the digest of its bodies."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        await store.append(key, messages(0, 70), None, terms())
        await store.append(key, messages(70, 80, own_view=False), None, terms())
        header = (await store.append(key, messages(80, 200), None, terms())).header
        assert header is not None
        digests = await store.digests(key, [0, 1, 2], header)
        assert digests is not None
        expected = {
            n: b"\n".join(one.body for one in messages(64 * n, 64 * n + 64)) for n in (0, 2)
        }
        assert digests == {number: digest(bodies) for number, bodies in expected.items()}
        blocks = await store.blocks(key, [0, 1], header)
        assert blocks is not None
        assert (blocks[0].digest, blocks[1].digest) == (digests[0], b"")


async def put_record_is_of_one_version(place: Place) -> None:
    """What a change wants remembered is there until the next change, and not after it."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        assert await store.put_record(key) is None
        outcome = await store.append(key, messages(0, 1), None, terms(put_record=b"a b\n\xff"))
        assert await store.put_record(key) == (outcome.header, b"a b\n\xff")
        outcome = await store.append(key, messages(1, 2), None, terms())
        assert await store.put_record(key) == (outcome.header, b"")
        edited = terms(put_record=b"c")
        outcome = await store.rewrite(key, whole(messages(0, 1)), None, edited)
        assert await store.put_record(key) == (outcome.header, b"c")
        await store.delete(key, terms())
        assert await store.put_record(key) is None


async def names_never_meet(place: Place) -> None:
    """Two sessions whose names differ only in where their parts end are two sessions."""
    async with place.open(_CONFIG) as ports:
        unique = fresh_key().session_id
        keys = [
            SessionKey("a", "b/c", unique),
            SessionKey("a/b", "c", unique),
            SessionKey("", "a/b/c", unique),
            SessionKey("a", "", f"b/c/{unique}"),
            SessionKey("a", "b", f"{{c}}/{unique}"),
            SessionKey("a", "b", f"é ☃ %7B/{unique}"),
        ]
        for number, key in enumerate(keys):
            await ports.store.append(key, messages(number, number + 1), None, terms())
        for number, key in enumerate(keys):
            assert await stored(ports.store, key) == messages(number, number + 1)


async def index_lists_by_activity(place: Place) -> None:
    """Sessions that were entered are listed in their scopes, by activity, in pages."""
    async with place.open(_CONFIG) as ports:
        store, scope = ports.store, fresh_key().session_id
        keys = [fresh_key(scope, user) for user in ("u", "u", "v", "")]
        for key in keys:
            await store.touch(key, None)
            await store.append(key, messages(0, 1), None, terms())
            await place.elapse(0.002)
        await store.touch(keys[0], None)
        order = [*keys[1:], keys[0]]
        for user, wanted in (("", order), ("u", [keys[1], keys[0]]), ("w", [])):
            for newest_first in (False, True):
                listed = await store.list_sessions(
                    scope, user, limit=10, offset=0, newest_first=newest_first
                )
                assert listed == (wanted[::-1] if newest_first else wanted, len(wanted))
        page = await store.list_sessions(scope, "", limit=2, offset=1, newest_first=False)
        assert page == (order[1:3], 4)
        users = await store.list_sessions("", "u", limit=1000, offset=0, newest_first=True)
        assert set(keys[:2]) <= set(users[0])


async def index_forgets_what_is_gone(place: Place) -> None:
    """Deleted and expired sessions are neither listed, counted nor found once they are met."""
    async with place.open(_CONFIG) as ports:
        store, scope = ports.store, fresh_key().session_id
        stays, deleted, expires, never = (fresh_key(scope, "u") for _ in range(4))
        for key in (never, stays, deleted):
            await store.touch(key, None)
            await place.elapse(0.002)
        await store.touch(expires, 1)
        for key in (stays, deleted):
            await store.append(key, messages(0, 1), None, terms())
        await store.append(expires, messages(0, 1), None, terms(ttl_ms=100))
        listed = await store.list_sessions(scope, "u", limit=9, offset=0, newest_first=False)
        assert listed[0] == [stays, deleted, expires]
        await store.delete(deleted, terms())
        await place.elapse(0.2)
        assert await store.find(deleted.session_id, "", "", 9) == []
        assert await store.find(expires.session_id, scope, "u", 9) == []
        listed = await store.list_sessions(scope, "u", limit=9, offset=0, newest_first=True)
        assert listed == ([stays], 1)


async def index_forgets_what_it_is_told(place: Place) -> None:
    """What it is told of a session that is gone it removes unmet; one that is there it keeps."""
    async with place.open(_CONFIG) as ports:
        store, scope = ports.store, fresh_key().session_id
        stays, deleted = (fresh_key(scope, "u") for _ in range(2))
        for key in (stays, deleted):
            await store.touch(key, None)
            await store.append(key, messages(0, 1), None, terms())
            await place.elapse(0.002)
        await store.delete(deleted, terms())
        for key in (deleted, stays, fresh_key(scope, "u")):
            await store.forget(key)
        listed = await store.list_sessions(scope, "u", limit=1, offset=0, newest_first=False)
        assert listed == ([stays], 1)
        assert await store.find(stays.session_id, "", "", 2) == [stays]


async def index_is_filled_in(place: Place) -> None:
    """A session is entered where it is missing, at its place; one that is there keeps its own."""
    async with place.open(_CONFIG) as ports:
        store, scope = ports.store, fresh_key().session_id
        first, lost, last = (fresh_key(scope, "u") for _ in range(3))
        await store.touch(first, None)
        await store.append(first, messages(0, 1), None, terms())
        await place.elapse(0.002)
        # Somebody lists it before it is made, and so removes its entry.
        await store.touch(lost, None)
        assert await store.find(lost.session_id, "", "", 9) == []
        await store.append(lost, messages(0, 1), None, terms())
        span = await store.tail(lost, 0)
        assert span is not None
        await place.elapse(0.002)
        await store.touch(last, None)
        await store.append(last, messages(0, 1), None, terms())
        for key in (first, lost):
            await store.touch(key, None, since=span.header.updated)
        listed = await store.list_sessions(scope, "u", limit=9, offset=0, newest_first=False)
        assert listed == ([first, lost, last], 3)
        assert await store.find(lost.session_id, scope, "u", 9) == [lost]


async def find_goes_by_id(place: Place) -> None:
    """An id finds the sessions that have it, as many as asked for, in a scope if one is given."""
    async with place.open(_CONFIG) as ports:
        store, unique = ports.store, fresh_key().session_id
        keys = [SessionKey(*scope, unique) for scope in (("", ""), ("n", ""), ("n", "u"))]
        for key in keys:
            await store.touch(key, None)
            await store.append(key, messages(0, 1), None, terms())
            await place.elapse(0.002)
        assert set(await store.find(unique, "", "", 9)) == set(keys)
        assert set(await store.find(unique, "n", "", 9)) == set(keys[1:])
        assert await store.find(unique, "n", "u", 9) == [keys[2]]
        assert await store.find(unique, "", "v", 9) == []
        assert await store.find(unique, "", "", 2) == keys[:2]


READ_CHECKS: tuple[Check, ...] = (
    absent_is_none,
    tail_is_the_newest,
    tail_sends_what_is_lacking,
    tail_tells_histories_apart,
    tail_needs_the_same_version,
    range_is_on_one_side,
    blocks_are_of_one_edit,
    blocks_are_of_one_history,
    digests_tell_blocks_apart,
    put_record_is_of_one_version,
    names_never_meet,
    index_lists_by_activity,
    index_forgets_what_is_gone,
    index_forgets_what_it_is_told,
    index_is_filled_in,
    find_goes_by_id,
)
