"""Bookwheel: a self-hosted server for reading long documents with a language model."""

from importlib.metadata import version

__version__ = version("bookwheel")
