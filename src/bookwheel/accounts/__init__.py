"""Who calls: accounts and their keys."""
