"""
A model of the coherence protocol, small enough that every order of events is tried.

One process with one session in its near cache, two store nodes, command connections and a
subscription with everything on its way in them, other writers, and faults: lost connections,
failover with and without lost changes, relaying replicas, flushes, lost scripts, evictions,
late and repeated operations. The session steps by ``_coherence.TRANSITIONS``, deltas are
judged by its ``judge`` and ``replay``, and the lease is its ``Lease``.

What must hold in every state: no answer of the near cache is older than T or mixes two
histories; a read for the newest gets it; a header says of every version whether it is part of
its history; an own write is seen once it is acknowledged; a change is made once, however often
it is sent, whatever became of its session.

That a search finds anything at all is shown by mutants: each leaves out one rule, and must be
caught. ``python -m memory_cache.testing.protocol`` runs everything and prints what it saw.

Not modelled: time to live, sealed blocks, clusters; a primary that does not know that it is one
no more and still takes scripts (the bound is relative to the primary a process talks to); a
request that is on its way for longer than the record of its operation is kept.

Three rules are easily broken by code that looks right: the answer to a fence counts only in a
generation that stands (mutants ``ended-fence-takes-epoch``, ``given-up-fence-renews``), and an
own write is heard by its tag (``woken-by-number``).

Three checks of the protocol are no mutants, for without any one of them nothing is found: that a
fence has a receiver (its nonce must be heard anyway), that a lease ends with its generation (what
it could let answer is loaded after it), and that a load is of this generation (its serial tells).
They are second lines of defence.
"""

from memory_cache._coherence import TRANSITIONS, Effect, Event, State
from memory_cache.testing.protocol._flaws import Flaw, Table
from memory_cache.testing.protocol._hunt import Result, check_mutant, check_protocol
from memory_cache.testing.protocol._scenarios import DEMOTED, EVERYTHING, SCENARIOS, Scenario
from memory_cache.testing.protocol._search import Counterexample, Found, search

__all__ = [
    "DEMOTED",
    "EVERYTHING",
    "SCENARIOS",
    "TRANSITIONS",
    "Counterexample",
    "Effect",
    "Event",
    "Flaw",
    "Found",
    "Result",
    "Scenario",
    "State",
    "Table",
    "check_mutant",
    "check_protocol",
    "search",
]
