"""The `bookwheel` command: parses what the user typed, shows what happens, decides nothing else."""
