"""An operator sets Bookwheel up by file, environment and flags, and is told in one line what is wrong with a setting."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bookwheel.errors import SettingsError
from bookwheel.settings import Settings, environment_without_settings, is_loopback, load_settings, settings_as_toml

SECRET = "sk-never-to-be-shown"

Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, and no `bookwheel.toml` in the folder."""
    for name in [name for name in os.environ if name.startswith("BOOKWHEEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`load(toml, variables, flags)`."""

    def load_all(toml: str | bytes = "", variables: dict[str, str] | None = None, flags: Any = None) -> Settings:
        path = tmp_path / "settings.toml"
        path.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        for name, value in (variables or {}).items():
            monkeypatch.setenv(f"BOOKWHEEL_{name}", value)
        return load_settings(path, flags)

    return load_all


TWO_ENGINES = '[engines.a]\nkind = "fake"\n[engines.b]\nkind = "extractive"\n'

PRECEDENCE = [
    pytest.param(
        'data_dir = "/file"',
        {"DATA_DIR": "/environment"},
        {"data_dir": "/flag"},
        lambda s: str(s.data_dir),
        [str(Path("~/.local/share/bookwheel").expanduser()), "/file", "/environment", "/flag"],
        id="scalar",
    ),
    pytest.param(
        "[server]\nport = 1001",
        {"SERVER__PORT": "1002"},
        {"server": {"port": 1003}},
        lambda s: s.server.port,
        [8700, 1001, 1002, 1003],
        id="nested",
    ),
    pytest.param(
        '[engines.e]\nkind = "fake"\nslots = 5',
        {"ENGINES__E__SLOTS": "6", "ENGINES__E__KIND": "fake"},
        {"engines": {"e": {"slots": 7, "kind": "fake"}}},
        lambda s: s.engines["e"].slots if s.engines else None,
        [None, 5, 6, 7],
        id="engine",
    ),
    pytest.param(
        f'{TWO_ENGINES}[models]\ndefault = "a"',
        {"MODELS__DEFAULT": "b", "ENGINES": '{"a": {"kind": "fake"}, "b": {"kind": "fake"}}'},
        {"models": {"default": "a"}, "engines": {"a": {"kind": "fake"}, "b": {"kind": "fake"}}},
        lambda s: s.engine_names()["qwen-long"],
        ["built-in", "a", "b", "a"],
        id="model",
    ),
]


@pytest.mark.parametrize(("toml", "variables", "flags", "read", "expected"), PRECEDENCE)
def test_flags_win_over_the_environment_over_the_file_over_the_defaults(
    load: Load, toml: str, variables: dict[str, str], flags: Any, read: Callable[[Settings], Any], expected: list[Any]
) -> None:
    sources = [("", {}, {}), (toml, {}, {}), (toml, variables, {}), (toml, variables, flags)]
    assert [read(load(*given)) for given in sources] == expected


def test_each_source_adds_to_a_table_without_undoing_the_others(load: Load) -> None:
    toml = '[server]\nport = 1001\nmax_body_mb = 7\n[engines.e]\nkind = "fake"\nslots = 5'
    variables = {"SERVER__MAX_BODY_MB": "8", "ENGINES__E__MAX_OUTPUT_TOKENS": "9"}
    settings = load(toml, variables, {"server": {"shutdown_seconds": 3}})
    assert (settings.server.port, settings.server.max_body_mb, settings.server.shutdown_seconds) == (1001, 8, 3)
    engine = settings.engines["e"]
    assert (engine.kind, engine.slots, engine.max_output_tokens) == ("fake", 5, 9)


def test_a_variable_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named.toml").write_text("[server]\nport = 1001", "utf-8")
    monkeypatch.setenv("BOOKWHEEL_CONFIG", str(tmp_path / "named.toml"))
    assert load_settings().server.port == 1001


def test_the_file_of_the_current_folder_is_taken_where_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bookwheel.toml").write_text("[server]\nport = 1001", "utf-8")
    assert load_settings().server.port == 1001


def test_nothing_has_to_be_set() -> None:
    assert load_settings().engine_names() == {"qwen-long": "built-in", "qwen-long-latest": "built-in"}


ACCOUNT = f'[accounts.web]\nkeys = ["{SECRET}"]\n'
UPSTREAM = '[engines.e]\nkind = "upstream"\n'

WRONG_IN_FILE = [
    ("[server]\nport = 99999", ["server.port = 99999", "less than or equal to 65535"]),
    ('[server]\nport = "front"', ["server.port = front", "valid integer"]),
    ("[server]\nprot = 8700", ["server.prot", "unknown setting", "port"]),
    ("sever = 1", ["sever", "unknown setting", "server"]),
    ("[server\nport = 1", ["settings.toml", "not valid TOML", "line 1"]),
    (b"data_dir = '\xff\xfe'", ["settings.toml"]),
    ("data_dir = 5", ["data_dir = 5"]),
    ('[log]\nlevel = "loud"', ["log.level = loud", "debug", "info", "warning", "error"]),
    ("[ingest]\nworkers = 0", ["ingest.workers = 0", "greater than or equal to 1"]),
    ("[limits]\ngb_per_account = 0", ["limits.gb_per_account = 0", "greater than 0"]),
    ('[server]\nhost = "0.0.0.0"', ["server.host = 0.0.0.0", "loopback", "127.0.0.1", "keys"]),
    ('[engines.e]\nkind = "magic"', ["engines.e.kind = magic", "llama_cpp", "upstream", "extractive", "fake"]),
    ('[engines.e]\nmodel = "m"', ["engines.e.kind", "required", "llama_cpp, upstream, extractive, e5, fake"]),
    (f'{UPSTREAM}model = "m"', ["engines.e", "base_url", "http://"]),
    (f'{UPSTREAM}model = "m"\nbase_url = "ftp://host"', ["engines.e", "base_url", "http://", "https://"]),
    (f'{UPSTREAM}base_url = "http://host/v1"', ["engines.e", "model"]),
    ('[engines.e]\nkind = "fake"\nwindow_tokens = 1000\nmax_output_tokens = 1000', ["engines.e", "max_output_tokens"]),
    ('[engines.e]\nkind = "fake"\ntemperature = 1', ["engines.e.temperature", "unknown setting", "window_tokens"]),
    (f'{TWO_ENGINES}[models]\ndefault = "c"', ['models."default" = "c"', "a, b"]),
    (f'{TWO_ENGINES}[models]\ngpt = "a"', ["models.default", "a, b"]),
    (TWO_ENGINES, ["models.default", "a, b"]),
    ('[models]\ngpt = "c"', ['models."gpt" = "c"', "[engines.c]"]),
    ('[accounts.web]\nkeys = ["short"]', ["accounts.web.keys", "at least 8 characters"]),
    ('[accounts.web]\nkeys = ["sha256:abc"]', ["accounts.web.keys", "64 hex digits"]),
    (f'[accounts.web]\nkeys = ["sha256:{"g" * 64}"]', ["accounts.web.keys", "64 hex digits"]),
    ("[accounts.web]\nkeys = []", ["accounts.web.keys", "at least 1"]),
    (f'[accounts.web]\nkey = "{SECRET}"', ["accounts.web.keys", "required"]),
    (f'{ACCOUNT}[accounts.ops]\nkeys = ["{SECRET}"]', ["accounts.ops.keys", "accounts.web"]),
    (f'{ACCOUNT}[accounts.ops]\nkeys = ["sha256:{sha256(SECRET.encode()).hexdigest()}"]', ["accounts.ops.keys"]),
]


@pytest.mark.parametrize(("toml", "told"), WRONG_IN_FILE)
def test_a_wrong_setting_is_told_in_one_line_that_names_it_and_what_is_allowed(
    load: Load, toml: str | bytes, told: list[str]
) -> None:
    assert_told(lambda: load(toml), told)


WRONG_IN_ENVIRONMENT = [
    ({"PORT": "8700"}, ["BOOKWHEEL_PORT", "unknown setting", "BOOKWHEEL_SERVER"]),
    ({"": "x"}, ["BOOKWHEEL_", "unknown setting"]),
    ({"SERVER__PROT": "8700"}, ["server.prot", "unknown setting", "port"]),
    ({"SERVER__PORT": "front"}, ["server.port = front", "valid integer"]),
    ({"SERVER": "front"}, ["server"]),
    ({"ACCOUNTS__WEB__KEYS": SECRET}, ["accounts"]),
    ({"ENGINES__E__API_KEY": SECRET}, ["engines.e.kind", "required"]),
]


@pytest.mark.parametrize(("variables", "told"), WRONG_IN_ENVIRONMENT)
def test_a_wrong_variable_is_told_in_one_line(load: Load, variables: dict[str, str], told: list[str]) -> None:
    assert_told(lambda: load("", variables), told)


def test_a_wrong_flag_is_told_in_one_line(load: Load) -> None:
    assert_told(lambda: load("", {}, {"server": {"port": -1}}), ["server.port = -1", "greater than or equal to 0"])


@pytest.mark.parametrize("path", ["nowhere.toml", "."])
def test_a_config_that_is_not_a_file_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_told(lambda: load_settings(Path(path)), ["config", "there is no file", path])
    monkeypatch.setenv("BOOKWHEEL_CONFIG", path)
    assert_told(load_settings, ["config", "there is no file", path])


SECRETS_IN_WRONG_PLACES = [
    f'[accounts]\nweb = "{SECRET}"',
    f'[accounts.web]\nkeys = "{SECRET}"',
    f'[accounts.web]\nkeys = ["{SECRET}", "short"]',
    f'[accounts.web]\nkeys = ["sha256:{SECRET}"]',
    f'[accounts.web]\nkeys = [["{SECRET}"]]',
    f'[accounts.web]\nkey = ["{SECRET}"]',
    f'accounts = "{SECRET}"',
    f'{UPSTREAM}api_key = "{SECRET}"',
    f'{UPSTREAM}model = "m"\nbase_url = "http://h"\napi_key = ["{SECRET}"]',
    f'[engines]\ne = "{SECRET}"',
    f'client = "{SECRET}"',
    f'[client]\napi_key = {{ bearer = "{SECRET}" }}',
]


@pytest.mark.parametrize("toml", SECRETS_IN_WRONG_PLACES)
def test_a_secret_in_the_wrong_place_is_refused_without_being_shown(load: Load, toml: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(toml)
    assert SECRET not in str(raised.value)


def test_a_secret_in_a_variable_is_refused_without_being_shown(load: Load) -> None:
    with pytest.raises(SettingsError) as raised:
        load("", {"ACCOUNTS__WEB": SECRET})
    assert SECRET not in str(raised.value)


def test_settings_written_as_a_file_lead_to_the_same_settings(load: Load) -> None:
    toml = f'{ACCOUNT}{UPSTREAM}model = "m"\nbase_url = "http://h/v1"\napi_key = "{SECRET}"\n[server]\nport = 0\n'
    settings = load(f'{toml}[models]\n"my model" = "e"')
    written = settings_as_toml(settings, reveal_secrets=True)
    assert load(written).model_dump() == settings.model_dump()
    assert load(settings_as_toml(load(""))).model_dump() == load("").model_dump()


def test_settings_are_written_with_their_secrets_masked(load: Load) -> None:
    toml = f'{ACCOUNT}{UPSTREAM}model = "m"\nbase_url = "http://h/v1"\napi_key = "{SECRET}"\n'
    settings = load(f'{toml}[client]\napi_key = "{SECRET}"')
    written = settings_as_toml(settings)
    assert SECRET not in written
    assert SECRET not in repr(settings)
    assert written.count("**********") == 3


def test_settings_are_frozen(load: Load) -> None:
    settings = load("")
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.data_dir = Path("/elsewhere")


def test_a_child_that_is_given_a_file_inherits_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKWHEEL_SERVER__PORT", "1001")
    monkeypatch.setenv("UNRELATED", "kept")
    environment = environment_without_settings()
    assert "BOOKWHEEL_SERVER__PORT" not in environment
    assert environment["UNRELATED"] == "kept"


def test_an_engine_that_reads_no_prompt_takes_more_than_a_model_does(load: Load) -> None:
    engines = load(
        f'{TWO_ENGINES}[engines.c]\nkind = "extractive"\nwindow_tokens = 999\nmax_output_tokens = 9\n[models]\ndefault="a"'
    ).engines
    assert [engines[name].window for name in "abc"] == [32_768, 400_000, 999]


ENGINE_NAMES = [
    ("", {"qwen-long": "built-in", "qwen-long-latest": "built-in"}),
    ('[engines.a]\nkind = "fake"', {"qwen-long": "a", "qwen-long-latest": "a"}),
    (f'{TWO_ENGINES}[models]\ndefault = "b"', {"qwen-long": "b", "qwen-long-latest": "b"}),
    (
        f'{TWO_ENGINES}[models]\ndefault = "b"\nqwen-long = "a"\ngpt = "b"',
        {"qwen-long": "a", "qwen-long-latest": "b", "gpt": "b"},
    ),
    (f'{TWO_ENGINES}[models]\nqwen-long = "b"\nqwen-long-latest = "a"', {"qwen-long": "b", "qwen-long-latest": "a"}),
]


@pytest.mark.parametrize(("toml", "names"), ENGINE_NAMES)
def test_every_public_name_has_its_engine(load: Load, toml: str, names: dict[str, str]) -> None:
    assert load(toml).engine_names() == names
    assert list(load(toml).engine_names()) == list(names)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_server_with_keys_may_listen_everywhere(load: Load) -> None:
    settings = load(f'{ACCOUNT}[server]\nhost = "0.0.0.0"')
    assert settings.server.host == "0.0.0.0"


def test_a_key_may_be_given_by_its_digest(load: Load) -> None:
    keys = json.dumps([f"sha256:{'A' * 64}"])
    settings = load("", {"ACCOUNTS__WEB__KEYS": keys})
    assert settings.accounts["web"].keys[0].get_secret_value() == f"sha256:{'A' * 64}"


def assert_told(read: Callable[[], object], told: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        read()
    message = str(raised.value)
    assert [part for part in told if part not in message] == [], message
    assert "\n" not in message
    assert SECRET not in message
