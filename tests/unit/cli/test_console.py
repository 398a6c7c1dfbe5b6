"""How a batch goes on is told in words that fit what is known."""

from typing import Any

import pytest

from bookwheel.cli.console import how_far, telling_now_and_then


def batch(total: int, completed: int, failed: int = 0, **progress: Any) -> dict[str, Any]:
    counts = {"total": total, "completed": completed, "failed": failed}
    return {"id": "batch_1", "status": "in_progress", "request_counts": counts, "bookwheel": progress}


class TestHowFar:
    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (batch(0, 0), "the lines are looked through"),
            (batch(50_000, 0, lines_per_second=0.0, seconds_left=None), "0 of 50,000 lines"),
            (
                batch(50_000, 1_200, 34, lines_per_second=12.34, seconds_left=3_951.2),
                "1,234 of 50,000 lines, 34 failed, 12.3 lines/s, 1:05:51 left",
            ),
            (batch(10, 1, lines_per_second=0.033, seconds_left=270.4), "1 of 10 lines, 2.0 lines/min, 0:04:30 left"),
            (batch(3, 3), "3 of 3 lines"),
        ],
    )
    def test_is_told_as_far_as_it_is_known(self, now: dict[str, Any], told: str) -> None:
        assert how_far(now) == told


class TestTelling:
    def test_tells_a_line_and_what_is_waited_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        show = telling_now_and_then(every_seconds=0)
        show(batch(4, 1))
        show(batch(4, 2, waiting="Documents are still being read."))
        assert capsys.readouterr().err.splitlines() == [
            "batch_1 in_progress: 1 of 4 lines",
            "batch_1 in_progress: 2 of 4 lines; waiting: Documents are still being read.",
        ]

    def test_does_not_tell_again_at_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        show = telling_now_and_then(every_seconds=3_600)
        for done in range(4):
            show(batch(4, done))
        assert capsys.readouterr().err == ""
