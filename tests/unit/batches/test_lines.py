"""Lines are found where they stand, what is wrong is said by line, and those that share documents stand together."""

import itertools
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.batches.answer import unanswered
from bookwheel.batches.lines import (
    CHAT_ENDPOINT,
    EMBEDDINGS_ENDPOINT,
    LINES_WITH_BLANK_ONES,
    TEST_ENDPOINT,
    TEST_MODEL,
    BatchLine,
    InputLines,
    LineRules,
    Place,
    Scan,
    files_in,
    rules_for,
    scan_lines,
)
from bookwheel.errors import InputFileDeleted
from bookwheel.settings import MB, BatchSettings
from support.scripted_batch import chat, chat_lines, line

RULES = LineRules(CHAT_ENDPOINT, {"qwen-long", "other"}, 1_000, MB)
FILE_ID = "file-fe-" + "a1B2" * 6
OTHER_ID = "file-fe-" + "c3D4" * 6
BOM = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder(BatchLine).decode


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "input.jsonl"


@pytest.fixture
def scan(path: Path) -> Callable[..., Scan]:
    """`scan(content, rules)`: what is found in a file."""

    def found(content: bytes | list[bytes], rules: LineRules = RULES) -> Scan:
        path.write_bytes(content if isinstance(content, bytes) else b"\n".join(content))
        return scan_lines(path, rules)

    return found


def lines_of(scan: Scan) -> InputLines:
    assert scan.errors == []
    assert scan.lines is not None
    return scan.lines


def errors_of(scan: Scan) -> list[tuple[int | None, str, str | None]]:
    assert scan.lines is None
    return [(error.line, error.code, error.param) for error in scan.errors]


def custom_ids(lines: InputLines, done: tuple[int, ...] = ()) -> list[str]:
    """In the order to run them in."""
    return [_decode(one).custom_id for one in lines.read(list(lines.places(done)))]


class TestPlaces:
    LAID = st.lists(
        st.tuples(
            st.text(max_size=8),
            st.sampled_from(["", " ", "\t  "]),
            st.sampled_from(["", " ", "  "]),
            st.sampled_from(["\n", "\r\n"]),
            st.lists(st.sampled_from(["\n", "\r\n", "  \n", "\t\r\n"]), max_size=2),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )

    @given(LAID, st.booleans(), st.booleans())
    def test_are_where_the_very_bytes_stand(
        self, path: Path, laid: list[Any], has_bom: bool, ends_without_line_end: bool
    ) -> None:
        content, number = (BOM if has_bom else b""), 0
        expected: dict[int, tuple[int, bytes]] = {}
        for text, before, after, end, blanks, ascii_only in laid:
            content += "".join(blanks).encode()
            number += len(blanks) + 1
            body = chat(text or "?", model="qwen-long")
            fields = {"custom_id": f"{number} {text}", "method": "POST", "url": CHAT_ENDPOINT, "body": body}
            data = f"{before}{json.dumps(fields, ensure_ascii=ascii_only)}{after}".encode()
            expected[number] = len(content), data
            content += data + end.encode()
        path.write_bytes(content.rstrip(b"\r\n") if ends_without_line_end else content)
        lines = lines_of(scan_lines(path, RULES))
        places = list(lines.places())
        assert {place.number: (place.offset, place.size_bytes) for place in places} == {
            number: (offset, len(data)) for number, (offset, data) in expected.items()
        }
        assert lines.read(places) == [expected[place.number][1] for place in places]
        assert lines.model == "qwen-long"

    def test_of_lines_that_are_done_are_left_out(self, scan: Callable[..., Scan]) -> None:
        lines = lines_of(scan(chat_lines(4)))
        assert custom_ids(lines, done=(1, 3)) == ["q2", "q4"]
        assert len(lines) == 4

    def test_cannot_be_read_when_the_file_is_gone(self, scan: Callable[..., Scan], path: Path) -> None:
        lines = lines_of(scan(chat_lines(2)))
        path.unlink()
        with pytest.raises(InputFileDeleted):
            lines.read(list(lines.places()))
        with pytest.raises(FileNotFoundError):
            scan_lines(path, RULES)
        assert len(InputLines.none(path)) == 0
        assert list(InputLines.none(path).places()) == []


class TestOrder:
    @given(
        st.lists(
            st.tuples(st.sampled_from([None, "A", "B", "C"]), st.sampled_from(["r", "s", "t"])), min_size=1, max_size=16
        )
    )
    def test_has_every_line_once_and_those_that_share_documents_together(
        self, path: Path, laid: list[tuple[str | None, str]]
    ) -> None:
        texts = [chat("?", *([f"fileid://{d}"] if d else []), role=role) for d, role in laid]
        path.write_bytes(b"\n".join(line(f"{n}", body) for n, body in enumerate(texts, 1)))
        places = list(lines_of(scan_lines(path, RULES)).places())
        assert sorted(place.number for place in places) == list(range(1, len(laid) + 1))
        in_order = [laid[place.number - 1] for place in places]
        assert _without_repeats([d for d, _ in in_order]) == list(dict.fromkeys(d for d, _ in laid))
        assert len(_without_repeats(in_order)) == len(set(laid))
        shared = {d for d, _ in laid if d is not None and [other for other, _ in laid].count(d) > 1}
        groups = {(laid[place.number - 1][0], place.group) for place in places}
        assert {d for d, group in groups if group} == shared
        assert (
            len({group for _, group in groups if group}) == len([group for _, group in groups if group]) == len(shared)
        )

    def test_begins_with_what_stands_first(self, scan: Callable[..., Scan]) -> None:
        """The role of line 3 is that of line 1: it goes before line 2."""
        bodies = [chat("?", "B", role="r"), chat("?", "A", role="s"), chat("?", "A", role="r")]
        lines = lines_of(scan([line(f"{number}", body) for number, body in enumerate(bodies, 1)]))
        assert [(place.number, place.group) for place in lines.places()] == [(1, 0), (3, 2), (2, 2)]

    @pytest.mark.parametrize(
        "messages",
        [
            [{"role": "system", "content": "r"}, {"role": "system", "content": "fileid://a"}],
            [{"role": "developer", "content": "r"}, {"role": "developer", "content": "A long document."}],
            [{"role": "system", "content": f"fileid://{FILE_ID}"}],
            [{"role": "user", "content": [{"type": "file", "file": {"file_id": FILE_ID}}]}],
            [{"role": "user", "content": [{"type": "file", "file_id": FILE_ID}]}],
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "x"}, {"type": "file", "file": {"file_data": "QQ"}}],
                }
            ],
        ],
    )
    def test_brings_documents_together_however_they_are_given(
        self, scan: Callable[..., Scan], messages: list[dict[str, Any]]
    ) -> None:
        def asks(question: str) -> dict[str, Any]:
            return {"model": "qwen-long", "messages": [*messages, {"role": "user", "content": question}]}

        apart = [line("1", asks("One?")), line("2", chat("Something else?")), line("3", asks("Three?"))]
        lines = lines_of(scan(apart))
        assert [(place.number, place.group) for place in lines.places()] == [(1, 1), (3, 1), (2, 0)]

    @pytest.mark.parametrize(
        "messages",
        ["text", 3, None, [], ["x"], [{"role": []}], [{"content": [3]}], [{"role": "system", "content": {}}] * 2],
    )
    def test_takes_bodies_of_another_shape_as_they_are(self, scan: Callable[..., Scan], messages: Any) -> None:
        lines = lines_of(scan([line("1", {"model": "qwen-long", "messages": messages}), *chat_lines(1)]))
        assert sorted(custom_ids(lines)) == ["1", "q1"]

    def test_of_embeddings_is_that_of_the_file(self, scan: Callable[..., Scan]) -> None:
        rules = LineRules(EMBEDDINGS_ENDPOINT, {"e5"}, 10, MB)
        laid = [line(f"{n}", {"model": "e5", "input": "x"}, EMBEDDINGS_ENDPOINT) for n in range(3)]
        places = lines_of(scan(laid, rules)).places()
        assert [(place.number, place.group) for place in places] == [(1, 0), (2, 0), (3, 0)]


class TestErrors:
    GOOD = chat_lines(1)[0]

    @pytest.mark.parametrize(
        ("bad", "code", "param"),
        [
            (b"not JSON", "invalid_json_line", None),
            (b"[1]", "invalid_json_line", None),
            (b'{"custom_id": "x"', "invalid_json_line", None),
            (GOOD * 2, "invalid_json_line", None),
            (GOOD.replace(b"q1", b"q\xff"), "invalid_json_line", None),
            (GOOD.replace(b"Question", b"\xff"), "invalid_json_line", None),
            (GOOD.replace(b'"q1"', b'"\\ud800"'), "invalid_json_line", None),
            (GOOD.replace(b'"q1"', b"7"), "missing_required_parameter", "custom_id"),
            (GOOD.replace(b'"q1"', b'""'), "missing_required_parameter", "custom_id"),
            (GOOD.replace(b"custom_id", b"id"), "missing_required_parameter", "custom_id"),
            (GOOD, "duplicate_custom_id", "custom_id"),
            (line("x", chat("?")).replace(b"POST", b"GET"), "invalid_method", "method"),
            (line("x", chat("?"), "/v1/embeddings"), "mismatched_endpoint", "url"),
            (line("x", chat("?"), "https://host/v1/chat/completions"), "mismatched_endpoint", "url"),
            (line("x", [1]), "missing_required_parameter", "body"),
            (line("x", "body"), "missing_required_parameter", "body"),
            (line("x", None), "missing_required_parameter", "body"),
            (line("x", {}), "missing_required_parameter", "body.model"),
            (line("x", {"model": 3}), "missing_required_parameter", "body.model"),
            (line("x", chat("?", model="gpt-9")), "model_not_found", "body.model"),
            (line("x", chat("?", model="other")), "mismatched_model", "body.model"),
            (line("x", chat("?" * MB)), "line_too_large", None),
        ],
    )
    def test_name_line_and_field(self, scan: Callable[..., Scan], bad: bytes, code: str, param: str | None) -> None:
        found = scan([self.GOOD, b"", bad, line("y", chat("?"))])
        assert errors_of(found) == [(3, code, param)]

    @pytest.mark.parametrize("content", [b"", b"\n \r\n\t\n", BOM])
    def test_tell_of_a_file_without_lines(self, scan: Callable[..., Scan], content: bytes) -> None:
        assert errors_of(scan(content)) == [(None, "empty_file", None)]

    def test_are_a_hundred_at_the_most(self, scan: Callable[..., Scan]) -> None:
        found = errors_of(scan([b"bad"] * 101))
        assert [number for number, _, _ in found] == list(range(1, 101))

    def test_name_the_first_line_that_is_too_much(self, scan: Callable[..., Scan]) -> None:
        rules = LineRules(CHAT_ENDPOINT, {"qwen-long"}, 3, MB)
        assert len(lines_of(scan(b"\n\n".join(chat_lines(3)), rules))) == 3
        assert errors_of(scan(b"\n\n".join(chat_lines(5)), rules)) == [(7, "too_many_lines", None)]

    def test_are_found_in_a_file_of_line_ends_before_its_end(self, scan: Callable[..., Scan]) -> None:
        rules = LineRules(CHAT_ENDPOINT, {"qwen-long"}, 4, MB)
        most = LINES_WITH_BLANK_ONES * 4
        assert errors_of(scan(b"\n" * 1_000 + chat_lines(1)[0], rules)) == [(most + 1, "too_many_lines", None)]
        assert len(lines_of(scan(b"\n" * (most - 1) + chat_lines(1)[0], rules))) == 1

    def test_show_no_more_than_the_beginning_of_a_value(self, scan: Callable[..., Scan]) -> None:
        (error,) = scan(line("x" * 100_000, chat("?"), "u" * 100_000)).errors
        assert len(error.message) < 200


class TestLongLines:
    SHORT = LineRules(CHAT_ENDPOINT, {"qwen-long"}, 10, 300)

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    @pytest.mark.parametrize("start", [b"", BOM])
    @pytest.mark.parametrize("excess", range(-4, 6))
    def test_are_refused_from_the_first_byte_too_many(
        self, scan: Callable[..., Scan], start: bytes, end: bytes, excess: int
    ) -> None:
        bare = len(line("x", chat("")))
        data = line("x", chat("?" * (300 + excess - bare)))
        assert len(data) == 300 + excess
        following = [line("next", chat("?"))] if end else []
        found = scan(start + data + end + b"".join(following), self.SHORT)
        if excess > 0:
            assert errors_of(found) == [(1, "line_too_large", None)]
        else:
            assert lines_of(found).read(list(lines_of(found).places())) == [data, *following]

    def test_are_not_taken_for_whole_where_they_are_cut(self, scan: Callable[..., Scan]) -> None:
        data = line("x", chat("")) + b" " * (300 - len(line("x", chat(""))))
        assert errors_of(scan(data + b"\r" * 9 + b"more\n", self.SHORT)) == [(1, "line_too_large", None)]

    def test_are_not_held(self, path: Path) -> None:
        with path.open("wb") as file:
            file.write(line("x", chat(""))[:-2])
            for _ in range(48):
                file.write(b"x" * MB)
            file.write(b"\n" + chat_lines(1)[0])
        tracemalloc.start()
        try:
            found = scan_lines(path, RULES)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert errors_of(found) == [(1, "line_too_large", None)]
        assert peak_bytes < 8 * MB


HOSTILE = {
    "lone surrogate": rb'"\ud800"',
    "half an escape": rb'"\u12"',
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "too large for a float": b"1e999",
    "5000 digits": b"1" * 5_000,
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep list, not closed": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "about as deep as the stack": b"[" * 980 + b"]" * 980,
    "as deep as may be": b"[" * 940 + b"]" * 940,
    "bytes that are no text": b'"\xff\xfe"',
    "NUL": rb'"\u0000"',
    "minus nothing": b"-",
    "null": b"null",
}
TEMPLATE = b'{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"model":"qwen-long","messages":[]}}'


class TestHostileLines:
    @pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
    @pytest.mark.parametrize("at", [b'"x"', b'"POST"', b'"/v1/chat/completions"', b'"qwen-long"', b"[]", b'"body":{'])
    def test_are_refused_or_may_be_run(self, scan: Callable[..., Scan], value: bytes, at: bytes) -> None:
        new = b'"body":{"x":' + value + b"," if at.endswith(b"{") else value
        self._check(scan(TEMPLATE.replace(at, new)))

    @pytest.mark.parametrize(
        "data",
        [
            TEMPLATE.replace(b'"qwen-long"', b'"none","model":"qwen-long"'),
            TEMPLATE.replace(b'"x"', b'"x","custom_id":7'),
            TEMPLATE.replace(b'"body":', b'"body":3,"body":'),
            TEMPLATE.replace(b'"messages":[]', b'"messages":[{"role":"user","role":["user"],"content":[[]]}]'),
        ],
    )
    def test_with_duplicate_keys_are_refused_or_may_be_run(self, scan: Callable[..., Scan], data: bytes) -> None:
        self._check(scan(data))

    @given(st.lists(st.binary(max_size=40) | st.sampled_from([TEMPLATE, BOM, b"\r", b"\x00"]), max_size=6))
    def test_of_any_bytes_are_refused_or_may_be_run(self, path: Path, laid: list[bytes]) -> None:
        path.write_bytes(b"\n".join(laid))
        self._check(scan_lines(path, RULES))

    def _check(self, found: Scan) -> None:
        assert (found.lines is None) == bool(found.errors)
        msgspec.json.encode(found.errors)
        if found.lines is not None:
            for data in found.lines.read(list(found.lines.places())):
                assert json.loads(unanswered("batch_req_1", data, "code", "message"))["custom_id"]


def test_a_dry_run_has_rules_of_its_own(scan: Callable[..., Scan]) -> None:
    rules = rules_for(TEST_ENDPOINT, {"qwen-long"}, BatchSettings())
    assert (rules.most_lines, rules.longest_bytes, list(rules.models)) == (100, MB, [TEST_MODEL])
    laid = [line(f"{number}", chat("?", model=TEST_MODEL), TEST_ENDPOINT) for number in range(101)]
    assert len(lines_of(scan(laid[:100], rules))) == 100
    assert errors_of(scan(laid, rules)) == [(101, "too_many_lines", None)]
    assert errors_of(scan([laid[0], b" " * MB], rules)) == [(None, "file_too_large", None)]
    assert errors_of(scan([line("x", chat("?"), TEST_ENDPOINT)], rules)) == [(1, "model_not_found", "body.model")]


def test_rules_are_those_of_the_settings() -> None:
    rules = rules_for(CHAT_ENDPOINT, {"qwen-long"}, BatchSettings(lines=7, line_mb=2))
    assert (rules.most_lines, rules.longest_bytes, rules.models) == (7, 2 * MB, {"qwen-long"})
    assert rules_for(TEST_ENDPOINT, (), BatchSettings(lines=7)).most_lines == 7


def test_the_files_that_a_line_may_name_are_found_once_each() -> None:
    data = f'{{"a": "fileid://{FILE_ID},{OTHER_ID}", "b": "{FILE_ID} file-fe-short file-batch-{"x" * 24}"}}'
    assert files_in(data.encode()) == [FILE_ID, OTHER_ID]


def test_a_place_is_its_line_s(scan: Callable[..., Scan]) -> None:
    (place,) = lines_of(scan(chat_lines(1))).places()
    assert place == Place(1, 0, len(chat_lines(1)[0]), 0)


def _without_repeats(values: list[Any]) -> list[Any]:
    return [value for value, _ in itertools.groupby(values)]
