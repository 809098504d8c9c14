"""
The fault bench: real workers, a real Valkey, and everything between them that can break.

    python -m memory_cache.testing.faults --seconds 60 --seed 1 --workers 3

From the bottom up: ``resp``, ``store``, ``proxy``, ``worker`` and ``crew`` are the parts that are
broken; ``recorder`` and ``clients`` use them and write down what they see; ``ground`` declares
what a fault is; ``links``, ``workers``, ``levers``, ``logs``, ``lives`` and ``supervisor`` are the
faults, ``table`` lists them; the ``nemesis`` draws from it, ``rounds`` and ``campaign`` run it,
``report`` sums up.
"""
