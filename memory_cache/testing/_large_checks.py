"""What every store promises of changes and blocks of megabytes: the same as of others."""

from memory_cache._blocks import cut, layout
from memory_cache._config import CacheConfig
from memory_cache._errors import OperationReusedError, TooLargeError, VersionMismatchError
from memory_cache._ports import Condition
from memory_cache.testing._place import (
    Check,
    Place,
    again,
    assert_run,
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


async def append_may_be_large(place: Place) -> None:
    """An append of megabytes, or of thousands, is an append like any other, wherever it begins."""
    async with place.open(_CONFIG) as ports:
        for held in (0, 1, 63, 64, 100):
            key, store, kept = fresh_key(), ports.store, messages(0, held)
            if held:
                await store.append(key, kept, b'{"a":1}', terms(ttl_ms=_HOUR_MS))
            for size, count in ((100_000, 20), (0, 3000), (20_000, 70)):
                large = [message(len(kept) + number, size=size) for number in range(count)]
                outcome = await store.append(key, large, None, terms())
                assert (outcome.start, outcome.end) == (len(kept), len(kept) + count)
                kept += large
                await store.append(key, [message(len(kept))], None, terms())
                kept.append(message(len(kept)))
            assert await stored(store, key) == kept
            span = await store.tail(key, 0)
            assert span is not None
            assert span.header.edits == 0
            assert span.header.num == 6 + (held > 0)
            assert span.header.size == sum(len(one.body) for one in kept)
            assert span.header.token_count == sum(one.meta.tokens for one in kept)
            assert span.header.max_created == kept[-1].meta.created_at
            assert span.fields == (b'{"a":1}' if held else b"{}")
            assert (0 < span.left_ms <= _HOUR_MS) == (held > 0)


async def large_append_keeps_its_terms(place: Place) -> None:
    """An append of megabytes is done once, under its condition and limits, or not at all."""
    small = CacheConfig(max_session_bytes=4_000_000)
    async with place.open(small) as ports:
        key, store = fresh_key(), ports.store
        large, attempt = [message(number, size=100_000) for number in range(20)], terms(note=b"n")
        assert (await store.append(key, large, None, terms(create=False))).missing
        first = await store.append(key, large, b'{"a":1}', attempt)
        second = await store.append(key, large, b'{"a":1}', again(attempt))
        assert (second.replayed, second.header, second.note) == (True, first.header, b"n")
        assert first.header is not None
        held = terms(condition=Condition(first.header.version))
        await store.append(key, large[:1], b'{"a":2}', held)
        for wrong in (Condition(first.header.version), Condition(None)):
            call = store.append(key, large, None, terms(condition=wrong))
            await refused(call, VersionMismatchError)
        call = store.append(
            key, large, None, terms(operation=attempt.operation.id, fingerprint="x")
        )
        await refused(call, OperationReusedError)
        await refused(store.append(key, large, None, terms()), TooLargeError)
        assert await stored(store, key) == large + large[:1]


async def edit_may_be_large(place: Place) -> None:
    """An edit of several megabytes is made whole, with what it leaves as it was."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        large = [message(number, size=100_000) for number in range(70)]
        await store.append(key, messages(0, 3), b'{"a":1}', terms(ttl_ms=_HOUR_MS))
        await store.rewrite(key, whole(large), None, terms())
        span = await store.tail(key, 1000)
        assert span is not None
        assert (span.messages, span.fields) == (large, b'{"a":1}')
        assert 0 < span.left_ms <= _HOUR_MS


async def edit_of_the_end_may_be_large(place: Place) -> None:
    """An edit of megabytes leaves what is before it, and is done once, under its condition."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        kept = [message(number, size=20_000) for number in range(70)] + messages(70, 200)
        await store.append(key, kept[:70], b'{"a":1}', terms(ttl_ms=_HOUR_MS))
        before = (await store.append(key, kept[70:], None, terms())).header
        assert before is not None
        large = kept[:128] + [message(number, size=50_000) for number in range(300, 430)]
        pairs, newest = layout(128, large[128:], kept[127].meta.created_at)
        change = edit(large, gone=cut(128, 0, 200), pairs=pairs, newest=newest)
        attempt = terms(condition=Condition(before.version))
        after = (await store.rewrite(key, change, None, attempt)).header
        assert after is not None
        assert (after.inc, after.num, after.edits) == (before.inc, 3, 1)
        assert (await store.rewrite(key, change, None, again(attempt))).replayed
        call = store.rewrite(key, change, None, terms(condition=Condition(before.version)))
        await refused(call, VersionMismatchError)
        span = await store.tail(key, 1000)
        assert span is not None
        assert (span.messages, span.fields) == (large, b'{"a":1}')
        assert 0 < span.left_ms <= _HOUR_MS
        await store.append(key, messages(430, 500), None, terms())
        assert await stored(store, key) == large + messages(430, 500)


async def edit_may_leave_blocks_between(place: Place) -> None:
    """An edit of single blocks leaves those between them, whatever it weighs."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        kept = messages(0, 300)
        before = (await store.append(key, kept, None, terms())).header
        assert before is not None
        one = [message(number, size=20_000) for number in range(64)]
        other = [message(number, size=20_000) for number in range(128, 192)]
        written: list[tuple[str, bytes]] = []
        for start, some, newest in ((0, one, 0), (128, other, kept[127].meta.created_at)):
            pairs, _ = layout(start, some, newest)
            written += pairs
        after = one + kept[64:128] + other + kept[192:]
        newest = max(each.meta.created_at for each in after)
        gone = [f"{kind}{block}" for block in (0, 2) for kind in "btd"]
        change = edit(after, gone=gone, pairs=written, newest=newest, scattered=True)
        await store.rewrite(key, change, None, terms(condition=Condition(before.version)))
        assert await stored(store, key) == after


async def blocks_may_be_large(place: Place) -> None:
    """Blocks of megabytes are sealed, read and edited like others."""
    async with place.open(_CONFIG) as ports:
        key, store = fresh_key(), ports.store
        kept = [message(number, size=40_000) for number in range(200)]
        for at in range(0, 200, 20):
            header = (await store.append(key, kept[at : at + 20], None, terms())).header
        assert header is not None
        for count in (1, 20, 100, 200):
            span = await store.tail(key, count)
            assert span is not None
            assert_run(span, 200 - count, 200)
            assert span.messages == kept[span.start :]
        blocks = await store.blocks(key, [0, 1, 2], header)
        assert blocks is not None
        assert [one for block in blocks.values() for one in block.messages()] == kept[:192]
        assert blocks[2].max_before == kept[127].meta.created_at
        change = edit(kept[:64], gone=cut(64, 0, 200), pairs=[], newest=kept[63].meta.created_at)
        held = Condition(header.version)
        await store.rewrite(key, change, None, terms(condition=held))
        assert await store.blocks(key, [0], header) is None
        await store.append(key, messages(64, 200), None, terms())
        assert await stored(store, key) == kept[:64] + messages(64, 200)


LARGE_CHECKS: tuple[Check, ...] = (
    append_may_be_large,
    large_append_keeps_its_terms,
    edit_may_be_large,
    edit_of_the_end_may_be_large,
    edit_may_leave_blocks_between,
    blocks_may_be_large,
)
