"""How often the answers are right: see README.md."""
