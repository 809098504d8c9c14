"""Story 1: one long session that keeps growing, then 25 of them, then a thousand."""
