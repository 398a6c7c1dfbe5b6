"""What an operator may set, read once and passed on as one frozen value.

Flags win over the environment (`BOOKWHEEL_`, nested with `__`), the environment over the file (TOML), the file over the
defaults. This is the one module that reads the environment. A wrong setting raises `SettingsError`: one line that names
the setting and says what is allowed.
"""

import os
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import SettingsError as SourceError

from bookwheel.errors import SettingsError

MB = 1024 * 1024
ENV_PREFIX = "BOOKWHEEL_"
CONFIG_FILE_VARIABLE = "BOOKWHEEL_CONFIG"
DEFAULT_CONFIG_FILE = Path("bookwheel.toml")
QWEN_LONG_NAMES = ("qwen-long", "qwen-long-latest")
BUILT_IN_ENGINE = "built-in"
"""The name of the engine that serves when none is configured."""

DEFAULT_WINDOW_TOKENS = {"extractive": 400_000}
"""Quotes need no model to read: the limit is the seconds that scoring takes. Every other kind: 32,768."""
DEFAULT_BUDGET_TOKENS = {"extractive": 16_000, "llama_cpp": 2_000}
"""Two cores read some 60 tokens a second: an embedded engine is shown little unless a request asks for more."""

DEFAULT_WHOLE_TOKENS = {"llama_cpp": 6_000}
"""What was read whole is kept, so that only the first question waits for it; excerpts are others for each question."""

BATCH_LINES = 1
"""Answered at once by an engine of our own that is not asked for a number: a second one makes a batch no faster (quotes are
searched for in Python, and embeddings take all threads)."""
UPSTREAM_BATCH_LINES = 16
"""The same of an engine elsewhere: servers batch that many well, and hardly any refuses them."""

EngineKind = Literal["llama_cpp", "upstream", "extractive", "e5", "fake"]
Dialect = Literal["openai", "vllm", "sglang", "ollama", "lm_studio", "llama_server", "dashscope"]


class Section(BaseModel):
    """A table of the settings: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """Where the server listens and what it lets in."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on. Anything but loopback needs keys under [accounts]."
    )
    port: int = Field(8700, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_mb: int = Field(64, ge=1, le=4096, description="Largest JSON body, in MB.")
    keep_alive_seconds: float = Field(
        15.0, gt=0, description="A stream that has nothing to say sends a comment this often; it opens after this wait."
    )
    shutdown_seconds: int = Field(30, ge=0, description="How long running answers may go on after a stop is asked for.")


class AccountSettings(Section):
    """One account: who may call, and with which keys."""

    keys: list[SecretStr] = Field(
        min_length=1,
        description="Bearer keys, in plain text or as `sha256:` and the 64 hex digits of the key's SHA-256.",
    )
    callback_secret: SecretStr | None = Field(
        None, description="Signs the callbacks of its batches, instead of batches.callback_secret."
    )

    @field_validator("keys")
    @classmethod
    def _keys_can_be_told_apart(cls, keys: list[SecretStr]) -> list[SecretStr]:
        for key in keys:
            text = key.get_secret_value()
            if text.startswith("sha256:"):
                digits = text.removeprefix("sha256:")
                if len(digits) != 64 or set(digits.lower()) - set("0123456789abcdef"):
                    raise ValueError("after sha256: 64 hex digits are needed")
            elif len(text) < 8:
                raise ValueError("a key has at least 8 characters")
        return keys

    @field_validator("callback_secret")
    @classmethod
    def _secret_can_sign(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _refuse_weak_secret(secret.get_secret_value())
        return secret


class LimitSettings(Section):
    """Sizes, quotas and rates. The defaults are the wire contract's."""

    document_mb: int = Field(150, ge=1, description="Largest document, in MB.")
    image_mb: int = Field(20, ge=1, description="Largest image, in MB.")
    batch_mb: int = Field(500, ge=1, description="Largest batch input file, in MB.")
    files_per_account: int = Field(10_000, ge=1, description="Files an account may keep.")
    gb_per_account: float = Field(100, gt=0, description="GB an account may keep.")
    files_per_request: int = Field(100, ge=1, description="Distinct files in one chat request.")
    tokens_per_request: int = Field(
        10_000_000, ge=1, description="Document tokens in one chat request; a tenth more is let pass."
    )
    file_calls_per_second: int = Field(
        20, ge=0, description="Rate of file calls an account, each call apart; 0: no limit."
    )
    file_deletes_per_second: int = Field(10, ge=0, description="Rate of file deletions an account; 0: no limit.")

    @property
    def most_tokens(self) -> int:
        """The document tokens above which a request is refused.

        Tokenizers differ by a tenth and more (English filings have 1.09 Qwen2.5 tokens to each of a common estimate): what a
        client counted as within the limit must not be refused for ours.
        """
        return self.tokens_per_request * 11 // 10


class IngestSettings(Section):
    """How uploaded files are read."""

    workers: int = Field(2, ge=1, le=256, description="Documents read side by side, each in a sandbox process.")
    ocr_workers: int = Field(
        1, ge=1, le=256, description="Pages recognised side by side by OCR, each in a sandbox process."
    )
    ocr_threads: int = Field(
        0, ge=0, le=256, description="Threads of one OCR process; 0 shares the cores among the OCR workers."
    )
    memory_mb: int = Field(3072, ge=512, description="Address space a sandbox process may take, in MB.")
    timeout_seconds: float = Field(900, gt=0, description="How long reading one document may take, OCR apart.")
    cpu_seconds: int = Field(600, ge=1, description="Processor time that reading one document may take, OCR apart.")
    ocr_timeout_seconds: float = Field(300, gt=0, description="How long OCR of one page may take.")
    attempts: int = Field(
        5, ge=1, description="Attempts at one document, each ended by the server's own death, before it is given up."
    )
    upload_wait_seconds: float = Field(
        1.0, ge=0, description="An upload waits this long to answer `processed` at once."
    )
    chat_wait_seconds: float = Field(60.0, ge=0, description="A question waits this long for files still being read.")


class ReadingSettings(Section):
    """How the documents of a question are read."""

    index_cache_mb: int = Field(
        384, ge=1, description="Indexes and texts of documents kept mapped between questions, in MB."
    )
    searches: int = Field(2, ge=1, le=64, description="Questions searched side by side, each in a thread.")
    thorough_calls: int = Field(
        2, ge=1, le=256, description="Parts that the engine reads side by side for one question (`thorough`)."
    )
    thorough_parts: int = Field(500, ge=1, description="Parts that one question may have the engine read (`thorough`).")


class BatchSettings(Section):
    """How batches are run. How many lines an engine answers at once is the engine's `batch_concurrency`."""

    lines: int = Field(50_000, ge=1, le=1_000_000, description="Most lines of a batch input file.")
    line_mb: int = Field(6, ge=1, le=64, description="Longest line, in MB.")
    retries: int = Field(
        5,
        ge=0,
        le=20,
        description="Tries of a line after the first where the engine answers 429 or 5xx, with growing pauses.",
    )
    callbacks: bool = Field(
        False, description="Whether a batch may name a URL that is told of its end. Private addresses are never called."
    )
    callback_secret: SecretStr | None = Field(
        None, description="Signs callbacks (Standard Webhooks): `whsec_` and base64. Needed for callbacks."
    )

    @field_validator("callback_secret")
    @classmethod
    def _secret_can_sign(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _refuse_weak_secret(secret.get_secret_value())
        return secret


class EngineSettings(Section):
    """One engine: what generates the answers."""

    kind: EngineKind = Field(description="What kind of engine it is.")
    base_url: str | None = Field(
        None, description="upstream: the engine's OpenAI base URL, e.g. http://127.0.0.1:8000/v1."
    )
    api_key: SecretStr | None = Field(None, description="upstream: the bearer key that the engine asks for.")
    model: str | None = Field(
        None,
        description="upstream: the model's name there; llama_cpp: a name of the catalogue or a path to a GGUF file.",
    )
    dialect: Dialect = Field(
        "openai",
        description="upstream: what software it is, where that says partial answers, thinking and counting its own way.",
    )
    window_tokens: int | None = Field(
        None,
        ge=256,
        description="What it accepts at most, prompt and answer. Unset: 32,768 or what memory allows; extractive 400,000.",
    )
    budget_tokens: int | None = Field(
        None,
        ge=64,
        description="Tokens of documents shown if a request sets none. Unset: what fits; llama_cpp 2,000, extractive 16,000.",
    )
    whole_tokens: int | None = Field(
        None,
        ge=0,
        description="Documents of up to so many tokens in all are shown whole, budget or not. Unset: 0; llama_cpp 6,000.",
    )
    max_output_tokens: int = Field(2_048, ge=1, description="Kept free in the window for an answer that sets no limit.")
    connect_seconds: float = Field(10.0, gt=0, description="Time-out for reaching the engine.")
    silence_seconds: float = Field(600.0, gt=0, description="Time-out for the engine's next byte.")
    fallback: list[str] = Field(
        default_factory=list, description="Engines that answer in its place, in this order, while it cannot."
    )
    concurrency: int = Field(
        0, ge=0, description="Answers at once; more wait, accounts taking turns. 0: no limit; llama_cpp: its slots."
    )
    batch_concurrency: int = Field(
        0, ge=0, description="Batch lines answered at once. 0: by kind; upstream three quarters of concurrency, or 16."
    )
    queue: int = Field(100, ge=0, description="Requests that may wait for their turn; more are refused with 429.")
    queue_seconds: float = Field(300.0, gt=0, description="How long a request may wait for its turn.")
    retries: int = Field(
        2, ge=0, le=10, description="Tries after the first where nothing of an answer had come, with growing pauses."
    )
    threads: int = Field(0, ge=0, description="llama_cpp, e5: threads; 0 takes as many as there are cores.")
    slots: int = Field(2, ge=1, le=64, description="llama_cpp: answers generated side by side.")
    prompt_states_mb: int = Field(
        4_096, ge=0, description="llama_cpp: disk for the states of documents that it has read, in MB; 0 keeps none."
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if self.kind == "upstream":
            if not self.base_url or not self.base_url.startswith(("http://", "https://")):
                raise ValueError("an upstream engine needs base_url, beginning with http:// or https://")
            if not self.model:
                raise ValueError("an upstream engine needs model, the model's name there")
        elif self.dialect != "openai":
            raise ValueError(f"dialect is for upstream engines; this one is of kind {self.kind}")
        if self.max_output_tokens >= self.window:
            raise ValueError("max_output_tokens must be smaller than window_tokens")
        return self

    @property
    def budget(self) -> int | None:
        """Tokens of documents shown where a request does not say; None: all that fits."""
        return self.budget_tokens or DEFAULT_BUDGET_TOKENS.get(self.kind)

    @property
    def whole(self) -> int:
        """Tokens of documents that are shown whole, where a request sets no budget."""
        return self.whole_tokens if self.whole_tokens is not None else DEFAULT_WHOLE_TOKENS.get(self.kind, 0)

    @property
    def most_at_once(self) -> int:
        """Answers at once; 0: no limit."""
        return self.concurrency or (self.slots if self.kind == "llama_cpp" else 0)

    @property
    def most_batch_lines(self) -> int:
        """Batch lines answered at once: fewer than the engine can, where that is known, so that a question finds a place."""
        if self.batch_concurrency:
            return self.batch_concurrency
        if self.kind == "upstream":
            return max(1, self.concurrency * 3 // 4) if self.concurrency else UPSTREAM_BATCH_LINES
        return max(1, self.slots - 1) if self.kind == "llama_cpp" else BATCH_LINES

    @property
    def shares_cores(self) -> bool:
        """Whether its answers take the cores that this server runs on, each slowing the others down."""
        return self.kind != "upstream"

    @property
    def window(self) -> int:
        """The window that is in force, in tokens."""
        return self.window_tokens or DEFAULT_WINDOW_TOKENS.get(self.kind, 32_768)


class ClientSettings(Section):
    """How the command line reaches a server that is already running elsewhere."""

    base_url: str | None = Field(
        None, description="A server's address, e.g. http://127.0.0.1:8700; else one is found or started."
    )
    api_key: SecretStr | None = Field(None, description="The key to show it.")


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    format: Literal["text", "json"] = Field("text", description="For people, or for machines: one JSON object a line.")


class Settings(BaseSettings):
    """Everything that is in force, frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(
        Path("~/.local/share/bookwheel"), description="Where files, the database and models are kept."
    )
    server: ServerSettings = Field(default_factory=ServerSettings, description=ServerSettings.__doc__)
    accounts: dict[str, AccountSettings] = Field(
        default_factory=dict, description="[accounts.NAME] keys = [...]. None: loopback only, and any key is accepted."
    )
    limits: LimitSettings = Field(default_factory=LimitSettings, description=LimitSettings.__doc__)
    ingest: IngestSettings = Field(default_factory=IngestSettings, description=IngestSettings.__doc__)
    reading: ReadingSettings = Field(default_factory=ReadingSettings, description=ReadingSettings.__doc__)
    batches: BatchSettings = Field(default_factory=BatchSettings, description=BatchSettings.__doc__)
    engines: dict[str, EngineSettings] = Field(
        default_factory=dict,
        description="[engines.NAME]. None: the embedded default model if it is there, else extractive.",
    )
    models: dict[str, str] = Field(
        default_factory=dict,
        description='"public name" = "engine name". `default` names the engine of qwen-long and qwen-long-latest.',
    )
    client: ClientSettings = Field(default_factory=ClientSettings, description=ClientSettings.__doc__)
    log: LogSettings = Field(default_factory=LogSettings, description=LogSettings.__doc__)

    @field_validator("data_dir")
    @classmethod
    def _expand_home(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        _refuse_shared_keys(self.accounts)
        for public_name, engine_name in self.models.items():
            if self.engines and engine_name not in self.engines:
                raise ValueError(
                    f'models."{public_name}" = "{engine_name}": allowed are {", ".join(sorted(self.engines))}'
                )
            if not self.engines and engine_name != BUILT_IN_ENGINE:
                raise ValueError(f'models."{public_name}" = "{engine_name}": there is no [engines.{engine_name}]')
        _refuse_unknown_fallbacks(self.engines)
        chatting = self._chatting()
        if len(chatting) > 1 and "default" not in self.models and not set(QWEN_LONG_NAMES) <= set(self.models):
            raise ValueError(f"models.default is missing: say which of {', '.join(sorted(chatting))} serves qwen-long")
        if self.batches.callbacks and not self._every_account_signs():
            raise ValueError(
                "batches.callbacks = true: callbacks are signed; set batches.callback_secret to whsec_ and the base64 of 32 "
                "random bytes"
            )
        if not self.accounts and not is_loopback(self.server.host):
            raise ValueError(
                f"server.host = {self.server.host}: without keys only loopback (127.0.0.1, ::1, localhost) is allowed; "
                'add [accounts.NAME] keys = ["..."]'
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, file; the file's path comes with the class that `load_settings` makes."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def models_dir(self) -> Path:
        """Where the weights of embedded models are kept."""
        return self.data_dir / "models"

    def _every_account_signs(self) -> bool:
        own = [account.callback_secret for account in self.accounts.values()]
        return self.batches.callback_secret is not None or bool(own and all(own))

    def _chatting(self) -> list[str]:
        """The engines that may answer questions: those that embed do not."""
        return [name for name, engine in self.engines.items() if engine.kind != "e5"]

    def engine_names(self) -> dict[str, str]:
        """Every public model name and the engine that serves it, in the order in which `GET /models` lists them."""
        default = self.models.get("default") or next(iter(self._chatting()), BUILT_IN_ENGINE)
        named = {name: engine for name, engine in self.models.items() if name != "default"}
        return dict.fromkeys(QWEN_LONG_NAMES, default) | named


def key_digest(key: str) -> str:
    """The SHA-256 of a key as the settings have it, in lower-case hex digits."""
    return key.removeprefix("sha256:").lower() if key.startswith("sha256:") else sha256(key.encode()).hexdigest()


def _refuse_weak_secret(secret: str) -> None:
    """Raise ValueError unless a secret can sign callbacks: `whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks)."""
    try:
        size_bytes = len(b64decode(secret.removeprefix("whsec_"), validate=True)) if secret.startswith("whsec_") else 0
    except ValueError:
        size_bytes = 0
    if not 24 <= size_bytes <= 64:
        raise ValueError("a secret for callbacks is whsec_ and the base64 of 24 to 64 random bytes")


def _refuse_shared_keys(accounts: Mapping[str, AccountSettings]) -> None:
    owners: dict[str, str] = {}
    for name, account in accounts.items():
        for key in account.keys:
            owner = owners.setdefault(key_digest(key.get_secret_value()), name)
            if owner != name:
                raise ValueError(f"accounts.{name}.keys: a key of accounts.{owner} stands here too; each needs its own")


def _refuse_unknown_fallbacks(engines: Mapping[str, EngineSettings]) -> None:
    for name, engine in engines.items():
        others = sorted(engines.keys() - {name})
        for spare in engine.fallback:
            if spare not in others:
                raise ValueError(f"engines.{name}.fallback: {spare}: allowed are {', '.join(others) or 'no others'}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_settings(config_file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read flags, environment and file into one value.

    `flags` is nested like the file. Without `config_file`, BOOKWHEEL_CONFIG names the file, or `bookwheel.toml` is taken
    where it exists. Raises SettingsError with one line.
    """
    path = config_file or _config_file_from_environment()
    if path is not None and not path.is_file():
        raise SettingsError(f"config: there is no file {path}")
    _refuse_unknown_variables()

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile(**dict(flags or {}))
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    except SourceError as error:  # a variable that should hold a table and does not; its value may be a secret
        raise SettingsError(
            f"environment: {str(error).splitlines()[0]}; tables are set as {ENV_PREFIX}TABLE__NAME"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def settings_as_toml(settings: Settings, *, reveal_secrets: bool = False) -> str:
    """The settings as a file that leads to them. Secrets are masked, and then it does not."""
    return tomli_w.dumps(_plain(settings.model_dump(exclude_none=True), reveal_secrets=reveal_secrets))


def environment_without_settings() -> dict[str, str]:
    """The environment for a child process that is given its settings in a file."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


def _plain(value: Any, *, reveal_secrets: bool) -> Any:
    """What TOML can hold."""
    if isinstance(value, SecretStr):
        return value.get_secret_value() if reveal_secrets else str(value)
    if isinstance(value, dict):
        return {name: _plain(inner, reveal_secrets=reveal_secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, reveal_secrets=reveal_secrets) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _config_file_from_environment() -> Path | None:
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_CONFIG_FILE if DEFAULT_CONFIG_FILE.is_file() else None


def _refuse_unknown_variables() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_FILE_VARIABLE:
            continue
        first = variable.removeprefix(ENV_PREFIX).split("__", 1)[0]
        if first.upper() not in known:
            allowed = ", ".join(f"{ENV_PREFIX}{name}" for name in sorted(known))
            raise SettingsError(f"{variable}: unknown setting; allowed are {allowed} (tables continue with __NAME)")


def _one_line(error: ValidationError) -> str:
    """The first complaint, as `server.port = 99999: Input should be less than or equal to 65535`."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{name}: unknown setting; allowed here: {', '.join(_names_beside(place))}"
    if first["type"] == "missing":
        return f"{name}: this setting is required; {_allowed_values(place) or 'see docs/reference/settings.md'}"
    if not name:
        return message
    given = first.get("input")
    shown = (
        f" = {given}" if isinstance(given, (str, int, float, bool)) and not _may_be_secret(place, first["type"]) else ""
    )
    return f"{name}{shown}: {message}"


def _may_be_secret(place: list[str], error_type: str) -> bool:
    """Whether what was given may be a key: also where a table was expected, and somebody wrote its key instead."""
    is_table = error_type in ("model_type", "dict_type", "model_attributes_type")
    return is_table or bool({"keys", "api_key", "callback_secret"} & set(place))


def _section_at(place: list[str]) -> type[BaseModel]:
    """The table that holds the setting at `place`; names of accounts and engines are skipped."""
    section: type[BaseModel] = Settings
    for part in place[:-1]:
        if part not in section.model_fields:
            continue
        annotation = section.model_fields[part].annotation
        candidates = (annotation, *get_args(annotation))
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), section)
    return section


def _names_beside(place: list[str]) -> list[str]:
    return sorted(_section_at(place).model_fields)


def _allowed_values(place: list[str]) -> str:
    field = _section_at(place).model_fields.get(place[-1])
    values = get_args(field.annotation) if field is not None else ()
    return f"allowed are {', '.join(map(str, values))}" if values and all(isinstance(v, str) for v in values) else ""
