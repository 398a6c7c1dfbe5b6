"""How often an account may call, by moving windows of one second."""

import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from bookwheel.errors import RateLimited


class Rates:
    """Counts calls by account and kind of call, in this process."""

    def __init__(self, calls_per_second: dict[str, int]) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._limits = {call: RateLimitItemPerSecond(rate) for call, rate in calls_per_second.items() if rate}

    def count(self, account_id: str, call: str) -> None:
        """Count one call. Raises RateLimited when that is one too many."""
        limit = self._limits.get(call)
        if limit is None or self._limiter.hit(limit, account_id, call):
            return
        reset = self._limiter.get_window_stats(limit, account_id, call).reset_time
        raise RateLimited(
            f"You exceeded your current requests limit: {limit.amount} {call} calls a second. Try again later.",
            retry_after_seconds=max(1, round(reset - time.time())),
        )
