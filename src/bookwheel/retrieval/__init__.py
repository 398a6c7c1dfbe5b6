"""Which parts of a request's documents bear on its question."""
