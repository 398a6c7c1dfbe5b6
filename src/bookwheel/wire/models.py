"""Shapes of the Models API. Shapes only."""

from typing import Literal

import msgspec


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A public model name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Every model name that the server answers to."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
