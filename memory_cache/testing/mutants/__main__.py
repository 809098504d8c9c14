"""``python -m memory_cache.testing.mutants``; see ``--help``."""

import sys

from memory_cache.testing.mutants.cli import main

if __name__ == "__main__":
    sys.exit(main())
