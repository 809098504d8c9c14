"""A near cache under the control of a test."""

from memory_cache import CacheConfig, SessionKey, Tier
from memory_cache._delta import Delta
from memory_cache._entries import Ask, Load
from memory_cache._near import NearCache
from memory_cache._ports import FOREVER, Span
from memory_cache._stats import Counters
from memory_cache._types import StoredMessage
from unit.strategies import header, message

KEY = SessionKey("", "", "s")
ONE = Ask(1)
NOW = 100.0


class Near:
    """A near cache with a lease, whose loads and deltas come when the test says."""

    def __init__(self, *, budget: int = 10**6, ring_messages: int = 8) -> None:
        self.counters = Counters()
        self.subscribed: list[SessionKey] = []
        self.unsubscribed: list[SessionKey] = []
        config = CacheConfig(near_cache_bytes=budget, ring_messages=ring_messages)
        self.cache = NearCache(
            config, self.counters, self.subscribed.append, self.unsubscribed.append
        )
        self.connect()

    def connect(self) -> None:
        """Begin a generation, and have a fence come back at once."""
        self.cache.began()
        self.cache.lease.sent("n", NOW)
        self.cache.lease.heard("n")
        self.cache.lease.answered("n")

    def begin(self, key: SessionKey = KEY) -> Load:
        """Begin a load."""
        load = self.cache.begin(key)
        assert load is not None
        return load

    def land(self, load: Load, num: int, *, ask: Ask = ONE, span: Span | None = None) -> None:
        """Land a snapshot of the session after ``num`` appends of one message."""
        self.cache.land(load, span or snapshot(num), NOW, ask)
        self.cache.check()

    def load(self, num: int, key: SessionKey = KEY) -> None:
        """Make a session answer, after ``num`` appends of one message."""
        self.begin(key)
        self.cache.opened(key)
        self.land(self.begin(key), num)
        assert self.cache.live(key)

    def hear(self, delta: Delta, key: SessionKey = KEY) -> None:
        """Hear a change."""
        self.cache.heard(key, delta)
        self.cache.check()

    def seen(self, count: int = 100, key: SessionKey = KEY, now: float = NOW) -> list[int] | None:
        """What the near cache answers: the positions of the messages; None: it may not."""
        page = self.cache.answer(key, Ask(count), now)
        if page is None:
            return None
        assert page.tier is Tier.NEAR
        assert page.end == page.next == page.start + len(page.messages)
        return [one["n"] for one in page.messages]


def cost(num: int) -> int:
    """What a session is charged after ``num`` appends of one message, if its name is short."""
    near = Near()
    near.load(num)
    return near.cache.bytes_held


def snapshot(
    num: int, *, start: int = 0, fields: bytes | None = b"{}", left_ms: int = FOREVER
) -> Span:
    """What the store returns of a session after ``num`` appends of one message."""
    return Span(header(num, next_=num), left_ms, fields, start, messages(start, num), 0)


def messages(start: int, end: int) -> list[StoredMessage]:
    """Messages that tell their positions."""
    return [message(at) for at in range(start, end)]
