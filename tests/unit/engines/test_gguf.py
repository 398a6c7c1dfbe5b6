"""Headers that the format's own package writes, and what is left of them when files are cut, mixed up or made to mislead."""

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookwheel.engines.gguf import GgufModel, read_gguf
from bookwheel.errors import ModelWeightsError
from support.tiny_gguf import HEADS, LAYERS, WIDTH, write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "tiny.gguf", context_tokens=4_096)


def write(path: Path, describe: Callable[[gguf.GGUFWriter], None], weights: int = 64) -> Path:
    """A model of one tensor whose header says what `describe` says."""
    writer = gguf.GGUFWriter(path, "deep")
    describe(writer)
    writer.add_tensor("token_embd.weight", np.zeros(weights, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def describe_usual(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(8_192)
    writer.add_block_count(3)
    writer.add_embedding_length(1_024)
    writer.add_head_count(16)
    writer.add_head_count_kv(4)


def what_is_wrong(path: Path) -> str:
    with pytest.raises(ModelWeightsError) as caught:
        read_gguf(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(".")
    return str(caught.value).removeprefix(f"{path}: ")


# What a header tells


def test_a_whole_model_is_described(tiny: Path) -> None:
    assert read_gguf(tiny) == GgufModel("llama", 4_096, LAYERS * HEADS * 2 * (WIDTH // HEADS) * 2, tiny.stat().st_size)


def test_fewer_heads_for_keys_and_values_take_less_memory(tmp_path: Path) -> None:
    model = read_gguf(write(tmp_path / "m.gguf", describe_usual))
    assert model.kv_bytes_per_token == 3 * 4 * (64 + 64) * 2


def test_heads_may_have_sizes_of_their_own(tmp_path: Path) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        describe_usual(writer)
        writer.add_key_length(192)
        writer.add_value_length(128)

    assert read_gguf(write(tmp_path / "m.gguf", describe)).kv_bytes_per_token == 3 * 4 * (192 + 128) * 2


def test_layers_may_have_numbers_of_heads_of_their_own(tmp_path: Path) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        describe_usual(writer)
        writer.add_head_count_kv([0, 8, 1])

    assert read_gguf(write(tmp_path / "m.gguf", describe)).kv_bytes_per_token == 9 * (64 + 64) * 2


def test_a_model_without_attention_keeps_nothing_a_token(tmp_path: Path) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(1_000_000)
        writer.add_block_count(48)
        writer.add_embedding_length(2_048)

    model = read_gguf(write(tmp_path / "m.gguf", describe))
    assert (model.training_tokens, model.kv_bytes_per_token) == (1_000_000, 0)


def test_vocabularies_are_passed_over(tmp_path: Path) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list(["a", "é", "", "中"] * 1_000)
        writer.add_token_scores([0.5] * 5_000)
        writer.add_chat_template("{{ messages }}" * 1_000)
        describe_usual(writer)

    assert read_gguf(write(tmp_path / "m.gguf", describe)).training_tokens == 8_192


def test_all_parts_of_a_split_model_count(tmp_path: Path) -> None:
    def describe(writer: gguf.GGUFWriter) -> None:
        describe_usual(writer)
        writer.add_uint16("split.count", 3)

    first = write(tmp_path / "big-00001-of-00003.gguf", describe)
    for number in (2, 3):
        (tmp_path / f"big-{number:05d}-of-00003.gguf").write_bytes(bytes(1_000))
    assert read_gguf(first).weights_bytes == first.stat().st_size + 2_000
    (tmp_path / "big-00002-of-00003.gguf").unlink()
    assert "of its 3 parts big-00002-of-00003.gguf is not beside it" in what_is_wrong(first)


def test_a_part_that_is_not_the_first_says_which_to_name(tmp_path: Path) -> None:
    second = write(tmp_path / "big-00002-of-00003.gguf", lambda writer: writer.add_uint16("split.count", 3))
    assert "name the first, whose name ends in -00001-of-00003.gguf" in what_is_wrong(second)


# Files that are no model


def test_a_file_that_is_not_there_or_not_readable_is_said_so(tmp_path: Path) -> None:
    assert what_is_wrong(tmp_path / "none.gguf") == "there is no such file."
    assert what_is_wrong(tmp_path) == "there is no such file."


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04" + bytes(100)])
def test_another_file_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    assert what_is_wrong(path) == "it is not a GGUF file. Fetch it again, or take another file."


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (struct.pack("<I", 1), "it is a GGUF file of another version"),
        (struct.pack("<I", 9), "it is a GGUF file of another version"),
        (struct.pack(">I", 3), "it is a GGUF file for big-endian machines"),
    ],
)
def test_versions_that_cannot_be_read_are_told(tmp_path: Path, version: bytes, said: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + version + bytes(16))
    assert said in what_is_wrong(path)


def test_a_file_cut_anywhere_in_its_header_is_said_to_be_cut(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    for size in (7, 20, 30, 100, 4_000, 6_000):
        path.write_bytes(whole[:size])
        assert what_is_wrong(path).startswith(("it is cut off within its header", "its header announces more"))


def test_a_file_whose_last_weights_are_missing_is_told(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:200_000])
    assert what_is_wrong(path).startswith("weights are missing at its end.")


@pytest.mark.parametrize("missing", ["general.architecture", "deep.context_length", "deep.block_count"])
def test_a_header_must_tell_what_is_needed(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "m.gguf", describe_usual)
    path.write_bytes(path.read_bytes().replace(missing.encode(), bytes(reversed(missing.encode()))))
    assert missing.rpartition(".")[2] in what_is_wrong(path)


@pytest.mark.parametrize(
    "describe",
    [
        lambda writer: writer.add_uint32("deep.block_count", 4_000_000_000),
        lambda writer: writer.add_array("deep.attention.head_count_kv", [1, 2]),
        lambda writer: writer.add_array("deep.attention.head_count_kv", [1, -2, 3]),
        lambda writer: writer.add_int32("deep.attention.head_count_kv", -4),
        lambda writer: writer.add_string("deep.embedding_length", "wide"),
        lambda writer: writer.add_array("deep.embedding_length", ["wide"]),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    tmp_path: Path, describe: Callable[[gguf.GGUFWriter], None], recwarn: pytest.WarningsRecorder
) -> None:
    def misdescribe(writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(8_192)
        for name, value in {"block_count": 3, "embedding_length": 1_024, "attention.head_count": 16}.items():
            writer.add_uint32(f"deep.{name}", value)
        describe(writer)

    assert "its header" in what_is_wrong(write(tmp_path / "m.gguf", misdescribe))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 7_000), value=st.binary(min_size=1, max_size=8))
def test_a_header_with_other_bytes_in_it_is_read_or_refused(
    tiny: Path, tmp_path: Path, place: int, value: bytes
) -> None:
    whole = tiny.read_bytes()
    path = tmp_path / "changed.gguf"
    path.write_bytes(whole[:place] + value + whole[place + len(value) :])
    try:
        assert read_gguf(path).training_tokens >= 0
    except ModelWeightsError as error:
        assert str(error).startswith(f"{path}: ")
