"""``python -m memory_cache.testing.simulation``; see ``--help``."""

import sys

from memory_cache.testing.simulation._cli import main

if __name__ == "__main__":
    sys.exit(main())
