"""Options of acceptance tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pages", action="store_true", help="write pages of docs/ anew from what the tests find")
