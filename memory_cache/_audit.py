"""
The audit: is what is held what the store has? Whose turn it is, and the verdict.

Of a session that the near cache answers for, in this order:

1. Note what is held (``before``).
2. Ask the store for its header (``found``).
3. Send a fence, and wait until it has passed.
4. See what is held now (``now``).

All that the store executed before it answered has been heard when the fence has passed. So
``found`` is ``before`` or later and ``now`` is ``found`` or later, in one history, whatever
happened meanwhile; unless the near cache itself no longer answers, or in another generation.
Anything else means that a change sent no message, or that its message was lost.
"""

from collections.abc import Mapping, Sequence

from memory_cache._types import Header, SessionKey


def in_turn(
    line: Sequence[SessionKey], hot: Mapping[SessionKey, Header], most: int
) -> tuple[list[SessionKey], list[SessionKey]]:
    """
    Return up to ``most`` sessions whose turn it is, and the line for the next time.

    Who is new goes to the end of the line, and so does who had a turn: nobody is passed by.
    """
    known = set(line)
    queue = [key for key in line if key in hot] + [key for key in hot if key not in known]
    return queue[:most], queue[most:] + queue[:most]


def verdict(before: Header, found: Header | None, now: Header) -> str | None:
    """
    Return what is wrong; None: nothing, or it cannot be told.

    - ``gone``: the store has no such session.
    - ``incarnation``, ``rollback``, ``fork``: as ``departure``.
    - ``behind``: the store went on, and it was not heard.
    """
    if now.inc != before.inc:
        # It was loaded anew, perhaps after the store had answered.
        return None
    if found is None:
        return "gone"
    if kind := departure(before, found):
        return kind
    if now.holds(found.version):
        return None
    return "behind" if found.holds(now.version) else "fork"


def departure(held: Header, found: Header) -> str | None:
    """
    Say how what the store has departs from what was held before; None: it continues that.

    - ``incarnation``: the session was deleted, or expired, and was made again.
    - ``rollback``: it has fewer changes.
    - ``fork``: it has other ones.
    """
    if found.inc != held.inc:
        return "incarnation"
    if found.num < held.num:
        return "rollback"
    return None if found.holds(held.version) else "fork"


def interruption(
    held: Header | None, previous_tag: str, after: Header, *, carries: bool = False
) -> str:
    """
    Say why a change that was heard cannot be applied to what is held, if it cannot.

    - ``edited``: it is the next one, and did not bring its messages.
    - ``undecodable``: it did, and they do not add up to its header.
    - ``gap``: one before it was not heard, or nothing is held.
    - ``incarnation``, ``rollback``, ``fork``: as ``departure``.
    """
    if held is None:
        return "gap"
    if after.inc != held.inc:
        return "incarnation"
    if after.num <= held.num:
        return "fork" if after.num == held.num else "rollback"
    if after.num > held.num + 1:
        return "gap"
    if previous_tag != held.tag:
        return "fork"
    return "undecodable" if carries else "edited"
