"""Live tails: many followers of many sessions, a worker killed in the middle."""
