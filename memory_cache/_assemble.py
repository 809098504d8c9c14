"""Pages made of what the store returned."""

from collections.abc import Sequence

from memory_cache._blocks import Block
from memory_cache._errors import DamagedSessionError, VersionLostError
from memory_cache._page import Page
from memory_cache._ports import Span
from memory_cache._types import Consistency, SessionKey, StoredMessage, Tier
from memory_cache._view import view_of


def from_span(key: SessionKey, span: Span, messages: Sequence[StoredMessage], start: int) -> Page:
    """Return a page of some messages of a span; ``start`` is the seq of the first."""
    return Page(
        key=key,
        start=start,
        end=start + len(messages),
        bodies=tuple(message.body for message in messages),
        views=tuple(map(view, messages)),
        metas=tuple(message.meta for message in messages),
        header=span.header,
        fields_json=span.fields or b"{}",
        tier=Tier.STORE,
    )


def whole(key: SessionKey, span: Span, blocks: Sequence[Block]) -> Page:
    """
    Return a whole transcript: sealed blocks as they are, and the span that ends it.

    Raises:
        DamagedSessionError: they do not add up to what the header says.
    """
    # Each newline of a block stands between two of its messages; counting bytes costs nothing.
    newlines = span.start - span.header.first - len(blocks)
    sealed = [block.bodies for block in blocks]
    size = sum(map(len, sealed)) - newlines
    if size + sum(len(message.body) for message in span.messages) != span.header.size:
        raise DamagedSessionError("the stored transcript is not whole")
    views = [
        bodies if block.digest else _block_view(block)
        for bodies, block in zip(sealed, blocks, strict=True)
    ]
    header = span.header
    return Page(
        key=key,
        start=header.first,
        end=header.next,
        bodies=(*sealed, *(body for body, _ in span.messages)),
        views=(*views, *map(view, span.messages)),
        metas=None,
        header=header,
        fields_json=span.fields or b"{}",
        tier=Tier.STORE,
    )


def view(message: StoredMessage) -> bytes:
    """
    Return the contract's view of a stored message; as a rule it is its own.

    Raises:
        DamagedSessionError: what is stored is no message.
    """
    body, meta = message
    if meta.own_view:
        return body
    try:
        return view_of(body, meta.id, meta.created_at)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedSessionError("a stored message cannot be read") from error


def views_of(span: Span) -> list[bytes]:
    """
    Return the contract's views of all messages of a span that goes to its session's end.

    Raises:
        DamagedSessionError: a message cannot be read, or one is missing.
    """
    if span.start + len(span.messages) != span.header.next:
        raise DamagedSessionError("the stored transcript is not whole")
    return list(map(view, span.messages))


def checked(page: Page, consistency: Consistency) -> Page:
    """
    Return the store's answer if it is what was asked for.

    Raises:
        VersionLostError: it is not this version or a later one of its history, or nothing at all.
    """
    wanted = consistency.version
    if wanted is not None and (page.header is None or not page.header.holds(wanted)):
        raise VersionLostError("the store does not have this version")
    return page


def _block_view(block: Block) -> bytes:
    return b"\n".join(map(view, block.messages()))
