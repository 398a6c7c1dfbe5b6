"""A file keeps the name that its user knows it by, without what a name could do harm with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.files.files import LONGEST_FILENAME, plain_filename

NAMES = [
    ("report.txt", "report.txt"),
    ("年度报告 2026.pdf", "年度报告 2026.pdf"),
    ("/etc/passwd", "passwd"),
    ("../../etc/passwd", "passwd"),
    ("C:\\Users\\kong\\report.txt", "report.txt"),
    ("a/b\\c.txt", "c.txt"),
    ("  spaces around .txt  ", "spaces around .txt"),
    ("line\r\nend\x00\x1b[31m.txt", "lineend[31m.txt"),
    ("gpj.\u202etxt.exe", "gpj.txt.exe"),
    ("zero\u200bwidth.txt", "zerowidth.txt"),
    (".hidden", ".hidden"),
    ("no suffix", "no suffix"),
    ('quote"s.txt', 'quote"s.txt'),
    ("", "upload"),
    (None, "upload"),
    ("   ", "upload"),
    ("folder/", "upload"),
    ("\x00\x01", "upload"),
    ("x" * 255, "x" * 255),
    ("x" * 300, "x" * 255),
    ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    ("字" * 300 + ".tar.gz", "字" * 252 + ".gz"),
    ("x" * 300 + "." + "y" * 16, "x" * 238 + "." + "y" * 16),
    ("x" * 300 + "." + "y" * 17, "x" * 255),
    ("." + "y" * 300, "." + "y" * 254),
]


@pytest.mark.parametrize(("sent", "kept"), NAMES)
def test_a_name_is_kept_without_folders_and_control_characters(sent: str | None, kept: str) -> None:
    assert plain_filename(sent or "", "upload") == kept


@given(st.text(max_size=600))
def test_any_name_becomes_one_that_can_be_shown(sent: str) -> None:
    name = plain_filename(sent, "upload")
    assert 0 < len(name) <= LONGEST_FILENAME
    assert name.isprintable()
    assert not set(name) & {"/", "\\"}
    assert plain_filename(name, "upload") == name
