"""An account that calls too often is told when to come again, and disturbs no other account."""

from collections.abc import Iterator

import pytest

from bookwheel.accounts import rates as rates_module
from bookwheel.accounts.rates import Rates
from bookwheel.errors import RateLimited


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("time.time", clock.time)
    assert rates_module.time.time() == clock.now
    return clock


def test_calls_up_to_the_rate_are_let_in_and_one_more_is_refused(clock: Clock) -> None:
    rates = Rates({"file list": 3})
    for _ in range(3):
        rates.count("web", "file list")
    with pytest.raises(RateLimited) as raised:
        rates.count("web", "file list")
    assert (raised.value.http_status, raised.value.error_code) == (429, "limit_requests")
    assert "3 file list calls a second" in raised.value.message
    assert raised.value.headers == {"retry-after": "1"}


def test_accounts_and_calls_are_counted_apart(clock: Clock) -> None:
    rates = Rates({"file list": 1, "file delete": 1})
    for account, call in (("web", "file list"), ("mobile", "file list"), ("web", "file delete")):
        rates.count(account, call)
    with pytest.raises(RateLimited):
        rates.count("mobile", "file list")


def test_a_second_later_calls_are_let_in_again(clock: Clock) -> None:
    rates = Rates({"file list": 2})
    rates.count("web", "file list")
    clock.now += 0.5
    rates.count("web", "file list")
    clock.now += 0.75  # the first call is over a second ago, the other is not
    rates.count("web", "file list")
    with pytest.raises(RateLimited):
        rates.count("web", "file list")


@pytest.mark.parametrize("call", ["file list", "something else"])
def test_a_rate_of_none_and_a_call_without_a_rate_are_not_limited(call: str) -> None:
    rates = Rates({"file list": 0})
    for _ in range(1000):
        rates.count("web", call)
