"""What an engine is asked when it takes notes, and what its answer says once its chatter is off.

Engines differ: they think aloud, greet, repeat themselves, fence their answer, and say "nothing" in many ways. Where several
documents are read in one call, their notes are told apart by marks, `[D2]`.
"""

import re
from collections.abc import Sequence

from bookwheel.answering.layout import frame
from bookwheel.engines.engine import Message, ShownDocument
from bookwheel.sentences import is_mostly_cjk

VERSION = 1
"""Of the words below: notes taken with others are not used again."""

_NOTE = (
    "You take notes for a question about documents. Read the text below and note everything in it that bears on the "
    "question, also what bears on it only in part: exact figures, dates and names, and short literal quotes in quotation "
    "marks. Say where each stands (page or section, as marked in the text). One line a note. Add nothing that is not in "
    "the text, and do not answer the question. If nothing in the text bears on the question, write only: NONE"
)
_NOTE_ZH = (
    "你在为一个关于文档的问题做笔记。阅读下面的文字，记下其中与问题有关的一切，只有部分有关的也要记：准确的数字、日期、"
    "名称，以及放在引号里的简短原文。注明每条的出处（文中标出的页码或章节）。每条一行。不要添加文中没有的内容，也不要回答问题。"
    "如果没有任何与问题有关的内容，只写：无"
)
_MARKED = (
    "There are several documents. Begin the notes on each with its mark, such as [D2]; leave out those with nothing."
)
_MARKED_ZH = "文档有多篇。每篇的笔记以它的标记开头，例如 [D2]；没有有关内容的文档不必写。"
_MERGE = (
    "Below are notes taken for a question, each under a mark. Shorten them to at most {words} words in all. Keep what the "
    "question needs: figures, dates, names, quotes and where they stand, word for word. Drop what repeats and what does "
    "not matter. Keep the marks, such as [D2], each before its notes; leave out marks with nothing left. Add nothing."
)
_MERGE_ZH = (
    "下面是为一个问题所做的笔记，各在一个标记之下。把它们总共缩短到{words}字以内。保留回答问题所需的：数字、日期、名称、"
    "引文及其出处，一字不改。删去重复的和无关紧要的。保留标记，例如 [D2]，放在各自的笔记之前；没有内容的标记不必写。"
    "不要添加内容。"
)
WORDS_PER_TOKEN = 0.7
CHARACTERS_PER_TOKEN = 1.3
"""Of Chinese."""

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""Some templates begin a thought in the prompt: the answer then has its end only."""
_NOTHING = re.compile(
    r"\W*(?:(?:none|n/a|nothing|not mentioned|无|無)"
    r"|(?:nothing|none|no (?:notes|information|content|part))\b[^.\d]{0,80}\bquestion"
    r"|(?:[本此该該]?(?:部分|文档|文檔|文本|文字|文|段))?[中里裡]?(?:无|無|没有|沒有)(?:任何)?"
    r"(?:[与與和跟]?[该該此本]?(?:问题|問題))?(?:直接)?(?:相关|有关|相關|有關)的?(?:内容|信息|內容|資訊|笔记|筆記)?"
    r")\W*",
    re.IGNORECASE,
)
_NONE_FIRST = re.compile(r"\W*NONE\b(?![ ]+of\b)")
"""In capitals it is the word that was asked for, whatever follows."""
_GREETING = re.compile(
    r"\W*(?:sure|certainly|of course|okay|here (?:are|is)|notes?|好的|当然|當然|以下|笔记|筆記)[^\d]{0,120}[:：!！]\W*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*`{3,}\w*\s*")
_MARK = re.compile(r"^[^\w\[【]{0,6}[\[【]\s*D\s*(\d{1,3})\s*[\]】][*:：.]{0,3}[ \t]*", re.MULTILINE)


def reading_messages(question: str, stretches: Sequence[ShownDocument]) -> list[Message]:
    """Asks for notes on stretches of documents. What an engine keeps of the prompt serves the next question, too."""
    told = [_NOTE_ZH if is_mostly_cjk(question) else _NOTE]
    if len(stretches) > 1:
        told.append(_MARKED_ZH if is_mostly_cjk(question) else _MARKED)
    return _messages(" ".join(told), question, stretches)


def merging_messages(question: str, notes: Sequence[ShownDocument], target_tokens: int) -> list[Message]:
    """Asks for notes to be shortened to about `target_tokens` in all."""
    in_chinese = is_mostly_cjk(question)
    words = max(1, int(target_tokens * (CHARACTERS_PER_TOKEN if in_chinese else WORDS_PER_TOKEN)))
    return _messages((_MERGE_ZH if in_chinese else _MERGE).format(words=words), question, notes, always_marked=True)


def without_thoughts(answer: str) -> str:
    """What an engine says, without what it thinks aloud and white space around."""
    return _THOUGHT_END.sub("", _THOUGHT.sub("", answer)).strip()


def clean_notes(answer: str) -> str:
    """The notes in an engine's answer, each line once; empty where it found nothing."""
    lines = [
        line.rstrip() for line in without_thoughts(answer).splitlines() if line.strip() and not _FENCE.fullmatch(line)
    ]
    if len(lines) > 1 and _GREETING.fullmatch(lines[0]):
        lines = lines[1:]
    if not lines or _NOTHING.fullmatch(lines[0]) or _NONE_FIRST.match(lines[0]):
        return ""
    return "\n".join(line for line in dict.fromkeys(lines) if not _NOTHING.fullmatch(line))


def split_by_marks(notes: str, count: int) -> dict[int, str] | None:
    """The notes by the number of their mark, from 0; None where they are not marked throughout."""
    marks = list(_MARK.finditer(notes))
    if not marks or notes[: marks[0].start()].strip():
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(notes)]
    told: dict[int, str] = {}
    for mark, end in zip(marks, ends, strict=True):
        number = int(mark.group(1)) - 1
        if not 0 <= number < count:
            return None
        text = clean_notes(notes[mark.end() : end])
        told[number] = "\n".join(part for part in (told.get(number), text) if part)
    return told


def last_mark(notes: str) -> int | None:
    """The number of the last mark in notes, from 0."""
    marks = _MARK.findall(notes)
    return int(marks[-1]) - 1 if marks else None


def _messages(
    told: str, question: str, texts: Sequence[ShownDocument], *, always_marked: bool = False
) -> list[Message]:
    marked = always_marked or len(texts) > 1
    framed = [f"[D{number}]\n{frame(text)}" if marked else frame(text) for number, text in enumerate(texts, 1)]
    asked = "问题：" if is_mostly_cjk(question) else "Question: "
    return [
        {"role": "system", "content": told},
        {"role": "user", "content": "\n\n".join([*framed, f"{asked}{question}"])},
    ]
