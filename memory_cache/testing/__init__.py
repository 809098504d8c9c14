"""Verified in-memory ports for tests: store, bus, clock and gates."""
