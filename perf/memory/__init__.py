"""Bytes per message: in Redis, and in the near cache of a process."""
