"""Batches: many requests in one file, answered while nobody waits."""
