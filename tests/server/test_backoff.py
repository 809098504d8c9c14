"""How long to wait before what died is started again."""

from memory_cache_server.backoff import LONGEST_SECONDS, STABLE_SECONDS, Backoff


def test_doubles_up_to_a_bound() -> None:
    """The first restart is at once; what keeps dying is started ever more rarely."""
    backoff = Backoff()
    delays = [backoff.delay(0) for _ in range(10)]
    assert delays[:4] == [0, 0.1, 0.2, 0.4]
    assert delays[-1] == LONGEST_SECONDS
    assert backoff.failures == 10


def test_a_long_life_is_forgiven() -> None:
    """Who has lived long enough is restarted at once, whatever was before."""
    backoff = Backoff()
    for _ in range(5):
        backoff.delay(0)
    assert backoff.delay(STABLE_SECONDS) == 0
    assert backoff.failures == 1
