"""Values into shapes, with msgspec's complaints in the wire contract's words."""

import re
from typing import Any, TypeVar

import msgspec

from bookwheel.errors import InvalidRequest

T = TypeVar("T")

_PLACE = re.compile(r" - at `\$\.?(.*)`$")


def convert(value: Any, shape: type[T], *, strict: bool = True) -> T:
    """A value in its shape. Raises InvalidRequest with `param` naming the field that does not fit."""
    try:
        return msgspec.convert(value, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec's complaint as ours: the field's name in front."""
    text = str(error)
    found = _PLACE.search(text)
    reason = _PLACE.sub("", text).replace("`", "'")
    if found and found[1]:
        return InvalidRequest(f"Invalid '{found[1]}': {reason}.", param=found[1])
    missing = re.search(r"missing required field '(\w+)'", reason)
    return InvalidRequest(f"Invalid request: {reason}.", param=missing[1] if missing else None)
