"""What tests share: a real server process, and an engine whose behaviour a test sets."""
