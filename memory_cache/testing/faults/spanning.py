"""Changes that were under way while the store lost what it had."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from memory_cache.testing.history import Fault, History, Write


def unplace(history: History) -> None:
    """
    Take from changes that span a loss what their answers say of where they stand.

    Such a change may have been made twice, and rightly: once before the loss, which took its
    operation record along, and once by a resend after. Its answer tells of the second only.
    """
    losses = [fault for fault in history.faults if fault.may_lose]
    operations: dict[object, list[Write]] = defaultdict(list)
    for write in history.writes:
        operations[write.operation_id or id(write)].append(write)
    history.writes = [
        replace(write, version=None, start=None) if spans else write
        for writes in operations.values()
        for spans in [_span(writes, losses)]
        for write in writes
    ]


def _span(writes: Sequence[Write], losses: Sequence[Fault]) -> bool:
    sent = min(write.sent for write in writes)
    done = max(inf if write.done is None else write.done for write in writes)
    return any(loss.began <= done and loss.ended >= sent for loss in losses)
