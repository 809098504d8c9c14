"""
Moving in: sessions of other stores, carried over and compared.

Sources: ``agent_memory_redis``, ``agent_memory_http``, ``lists`` and ``jsonl`` say what is there
(``found``); ``carry`` writes one session, ``compare`` holds it against its source, ``run`` does
that for all. Nothing is ever written to a source.
"""
