"""Measurements; every number in the README has its command here."""
