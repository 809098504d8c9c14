"""The HTTP server and the command `memory-cache`."""
