"""Callbacks are off until an operator allows them, and nobody can allow them without a secret that signs."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bookwheel.errors import SettingsError
from bookwheel.settings import Settings, load_settings, settings_as_toml

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
OWN_SECRET = "whsec_" + b64encode(bytes(range(32, 64))).decode()
KEYS = {"keys": ["bw-a-key-of-some-length"]}
WEAK = [
    "",
    "whsec_",
    "open sesame",
    b64encode(bytes(range(32))).decode(),
    "whsec_not base64 at all, but long enough to be some!",
    "whsec_" + b64encode(bytes(23)).decode(),
    "whsec_" + b64encode(bytes(65)).decode(),
    "WHSEC_" + b64encode(bytes(range(32))).decode(),
]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "settings.toml"

    def load_tables(**tables: Any) -> Settings:
        path.touch()
        return load_settings(path, tables)

    return load_tables


def test_callbacks_are_off_unless_they_are_allowed(load: Any) -> None:
    assert load().batches.callbacks is False
    assert load(batches={"callback_secret": SECRET}).batches.callbacks is False


@pytest.mark.parametrize(
    "accounts", [{}, {"ada": KEYS}, {"ada": KEYS | {"callback_secret": OWN_SECRET}, "bob": {"keys": ["another-key"]}}]
)
def test_callbacks_without_a_secret_for_every_account_are_refused_with_what_to_set(load: Any, accounts: Any) -> None:
    with pytest.raises(SettingsError, match=r"batches\.callbacks = true: .*set batches\.callback_secret to whsec_"):
        load(batches={"callbacks": True}, accounts=accounts)


def test_one_secret_is_enough_for_all(load: Any) -> None:
    settings = load(batches={"callbacks": True, "callback_secret": SECRET}, accounts={"ada": KEYS})
    assert settings.batches.callback_secret == SecretStr(SECRET)


def test_secrets_of_all_accounts_are_enough(load: Any) -> None:
    settings = load(batches={"callbacks": True}, accounts={"ada": KEYS | {"callback_secret": OWN_SECRET}})
    assert settings.accounts["ada"].callback_secret == SecretStr(OWN_SECRET)


@pytest.mark.parametrize("size_bytes", [24, 32, 64])
def test_secrets_of_the_sizes_of_the_standard_are_taken(load: Any, size_bytes: int) -> None:
    assert load(batches={"callbacks": True, "callback_secret": "whsec_" + b64encode(bytes(size_bytes)).decode()})


@pytest.mark.parametrize("weak", WEAK)
def test_a_secret_that_cannot_sign_is_refused_and_not_shown(load: Any, weak: str) -> None:
    needed = "whsec_ and the base64 of 24 to 64 random bytes"
    with pytest.raises(SettingsError, match=needed) as refused:
        load(batches={"callback_secret": weak})
    with pytest.raises(SettingsError, match=needed) as refused_too:
        load(accounts={"ada": KEYS | {"callback_secret": weak}})
    assert str(refused.value).startswith("batches.callback_secret: ")
    assert str(refused_too.value).startswith("accounts.ada.callback_secret: ")
    assert weak in ("", "whsec_") or weak not in f"{refused.value} {refused_too.value}"


def test_secrets_are_masked_wherever_settings_are_shown(load: Any) -> None:
    settings = load(
        batches={"callbacks": True, "callback_secret": SECRET},
        accounts={"ada": KEYS | {"callback_secret": OWN_SECRET}},
    )
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {settings_as_toml(settings)}"
    assert SECRET not in shown
    assert OWN_SECRET not in shown
    assert "callback_secret = " in settings_as_toml(settings)


def test_secrets_are_written_for_those_who_ask_for_them(load: Any) -> None:
    settings = load(batches={"callback_secret": SECRET})
    assert f'callback_secret = "{SECRET}"' in settings_as_toml(settings, reveal_secrets=True)


def test_a_secret_in_a_variable_of_the_environment_is_read_and_not_shown(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKWHEEL_BATCHES__CALLBACK_SECRET", SECRET)
    assert load(batches={"callbacks": True}).batches.callback_secret == SecretStr(SECRET)
    monkeypatch.setenv("BOOKWHEEL_BATCHES__CALLBACK_SECRET", "too-short-a-secret")
    with pytest.raises(SettingsError) as refused:
        load()
    assert "too-short-a-secret" not in str(refused.value)
