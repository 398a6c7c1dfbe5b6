"""Somebody who has just cloned the repository runs the demo and sees two answers from two real documents."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo() -> "subprocess.CompletedProcess[str]":
    """The demo without a model, in an environment with another server's settings in it."""
    return subprocess.run(
        [sys.executable, "demo/demo.py", "--no-model"],
        cwd=ROOT,
        env=os.environ
        | {"BOOKWHEEL_SERVER__PORT": "1", "HTTP_PROXY": "http://127.0.0.1:9", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_demo_ends_well_and_says_how_long_it_took(demo: "subprocess.CompletedProcess[str]") -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    assert re.search(r"^2 of 2 questions answered; \d+ s in all\.$", demo.stdout, re.MULTILINE)


def test_the_demo_shows_both_answers(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "十九个钱" in demo.stdout
    assert "I sold the watch to get the money to buy your combs." in demo.stdout


def test_the_demo_shows_sentences_that_stand_in_the_documents(demo: "subprocess.CompletedProcess[str]") -> None:
    cited = re.findall(r"^  \[\d+\] (\S+), line (\d+): (.*)$", demo.stdout, re.MULTILINE)
    assert {filename for filename, _, _ in cited} == {"kong-yiji.txt", "the-gift-of-the-magi.txt"}
    for filename, line, quote in cited:
        lines = (ROOT / "demo" / "documents" / filename).read_text("utf-8").splitlines()
        assert quote in lines[int(line) - 1]


def test_the_demo_shows_tokens_and_seconds(demo: "subprocess.CompletedProcess[str]") -> None:
    told = r"^  [\d,]+ tokens read, \d+ written; first word after [\d.]+ s, [\d.]+ s in all$"
    assert len(re.findall(told, demo.stdout, re.MULTILINE)) == 2


def test_the_demo_stops_its_server(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "The server has stopped." in demo.stdout
    address = re.search(r"http://127\.0\.0\.1:(\d+)", demo.stdout)
    assert address
    listening = Path("/proc/net/tcp").read_text("ascii")
    assert f"0100007F:{int(address[1]):04X} 00000000:0000 0A" not in listening


def test_the_demo_needs_no_terminal(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "\r" not in demo.stdout
    assert "\033" not in demo.stdout
