"""A caller is the account of its key, and nobody without one when there are keys."""

from hashlib import sha256

import pytest

from bookwheel.accounts.keys import DEFAULT_ACCOUNT, Keys
from bookwheel.errors import InvalidKey
from bookwheel.settings import AccountSettings

DIGEST = sha256(b"key-by-digest").hexdigest()
KEYS = Keys(
    {
        "web": AccountSettings(keys=["first-web-key", "second-web-key"]),
        "mobile": AccountSettings(keys=["mobile-key", f"sha256:{DIGEST.upper()}"]),
    }
)


@pytest.mark.parametrize(
    ("authorization", "account"),
    [
        ("Bearer first-web-key", "web"),
        ("Bearer second-web-key", "web"),
        ("Bearer mobile-key", "mobile"),
        ("Bearer key-by-digest", "mobile"),
        ("bearer mobile-key", "mobile"),
        ("BEARER   mobile-key  ", "mobile"),
    ],
)
def test_a_key_has_its_account(authorization: str, account: str) -> None:
    assert KEYS.account_of(authorization) == account


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-key",
        "Bearer FIRST-WEB-KEY",
        "Bearer first-web-key second-web-key",
        "Basic first-web-key",
        "first-web-key",
        f"Bearer {DIGEST}",
        f"Bearer sha256:{DIGEST}",
        "Bearer schlüssel",
    ],
)
def test_anything_else_is_refused(authorization: str | None) -> None:
    with pytest.raises(InvalidKey) as raised:
        KEYS.account_of(authorization)
    assert (raised.value.http_status, raised.value.error_code) == (401, "invalid_api_key")
    assert raised.value.message == "Incorrect API key provided."


@pytest.mark.parametrize("authorization", [None, "", "Bearer anything", "Basic x"])
def test_without_keys_every_caller_is_the_default_account(authorization: str | None) -> None:
    keys = Keys({})
    assert not keys.required
    assert keys.account_of(authorization) == DEFAULT_ACCOUNT


def test_keys_are_required_once_there_are_any() -> None:
    assert KEYS.required


def test_no_key_is_held_in_plain_text() -> None:
    assert "web-key" not in repr(vars(KEYS))
