"""``python -m memory_cache.testing.faults``."""

import sys

from memory_cache.testing.faults.cli import main

if __name__ == "__main__":
    sys.exit(main())
