"""How the documents of a request are read: what was asked for, or what fits the question and the budget.

`full` shows all the text. `relevant` shows the passages that bear on the question. `overview` shows the outline and what
represents every part, for questions about the whole. `thorough` has the engine read every part. `auto` takes `full` where
everything fits, else `overview` for questions about the whole, else `relevant`; `thorough` only ever happens when asked
for, because it takes many calls of the engine.
"""

import re
from dataclasses import dataclass

from bookwheel.errors import InvalidRequest
from bookwheel.terms import fold
from bookwheel.wire.chat import ReadingChoice, ReadingName

MARGIN_SHARE = 0.01
"""Of the window that stays free: engines count a few tokens that we do not see, of templates and the like."""
LEAST_BUDGET_TOKENS = 64

LISTED_PART = 50
LEAST_WITH_LIST_TOKENS = 2_000

_WHOLE = re.compile(
    r"summar(?:y|ies|i[sz]e\w*|i[sz]ing)|\boverview\b|\babstract\b|\bgist\b|\boutline\b|\btl;?dr\b|\brecap\b|\bin a nutshell\b"
    r"|what (?:is|are|was|were) (?:it|this|these|that|those|they|(?:the|this|these|that|those|each) \w+(?: \w+)?)"
    r" (?:all )?about\b"
    r"|\b(?:main|key|major|central|general|overall|core|important)\s+(?:\w+\s+)?(?:points?|discussions?|ideas?|topics?|themes?|arguments?|messages?|takeaways?"
    r"|contents?|findings?|conclusions?|issues?)\b"
    r"|what (?:does|do) (?:it|this|these|(?:the|this|these|that|those|each) \w+) (?:say|cover|discuss|contain|deal with)\b"
    r"|\bcompare\b|\bcontrast\b|\bin common\b"
    r"|总结|概括|概述|综述|归纳|摘要|大意|梗概|提要|主旨|主题是|中心思想|主要内容|主要讲|讲了(?:些)?什么|说了(?:些)?什么|讲述了什么|写了什么"
    r"|关于什么|要点|全文|通篇|整篇|整本|整份|比较一下|对比|异同|共同点|纪要"
)
_OF_WHOLES = re.compile(
    r"\b(?:the|this|these|those|that|all|each|every|both|of|in|on|for|to|a|an|and|or|with|from|its?|their|them|me|my|us|you|your|please|can|could|would"
    r"|give|write|make|provide|tell|list|show|draft|produce|create|explain|describe|briefly?|short(?:ly)?|concise(?:ly)?|detailed?|quick(?:ly)?"
    r"|what|which|who|how|is|are|was|were|be|do|does|did|whole|entire|full|complete|overall|main|key|major|following|above|attached|uploaded|given"
    r"|documents?|files?|texts?|papers?|articles?|books?|reports?|contracts?|agreements?|meetings?|transcripts?|discussions?|stories|story|chapters?"
    r"|filings?|letters?|pages?|contents?|conversations?|interviews?|lectures?|notes?|sentences?|paragraphs?|words?|points?|bullets?|ideas?|topics?"
    r"|\d+|one|two|three|five|ten|about|between|differences?|similarities|english|chinese)\b"
    r"|请问?|帮我?|我|你|您|给|一下|用|以|这|那|些|个|份|篇|本|次|场|部|的|了|吗|呢|是|在|和|与|及|把|对|为|将|所有|全部|整个|上述|以下|上面|各|每|几|多少字?"
    r"|文档|文件|文章|论文|报告|合同|协议|会议|记录|材料|内容|小说|故事|书|章节?|主要|重点|重要|核心|关键|简要|简单|简短|详细|分别|进行|做|写|列出|说明|介绍"
    r"|什么|哪些|如何|怎么|字|句话?|段|之间|区别|中文|英文|[一二三四五六七八九十百\d]+"
)
MOST_OTHER_CHARACTERS = 6
"""What may be left of a question about the whole, beside the words that ask for it: more names something in it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The reading, the tokens of documents that may be shown, and why that reading, in a sentence."""

    reading: ReadingName
    budget_tokens: int
    reason: str
    is_asked_for: bool = False

    @property
    def listed_tokens(self) -> int:
        """What of the budget may name documents of which nothing is shown: a small part, and none of a small budget."""
        return self.budget_tokens // LISTED_PART if self.budget_tokens >= LEAST_WITH_LIST_TOKENS else 0


@dataclass(frozen=True, slots=True)
class Room:
    """What there is room for, in tokens: the engine's window, what of it other things take, and what is set as the budget."""

    window_tokens: int
    said_tokens: int
    reserve_tokens: int
    set_tokens: int | None
    whole_tokens: int = 0
    """Documents of up to so many tokens are shown whole, beyond what is set: engines that keep what they read have it."""

    @property
    def most_tokens(self) -> int:
        """What the documents may take at most."""
        free = self.window_tokens - self.said_tokens - self.reserve_tokens
        return free - int(MARGIN_SHARE * self.window_tokens)


def plan_reading(choice: ReadingChoice, question: str, whole_tokens: int, room: Room) -> Plan:
    """Plan a request. `whole_tokens` is what its documents take in full, frames included.

    Raises InvalidRequest when the engine's window has no room for documents, or for all of them where `full` was asked for.
    """
    most = room.most_tokens
    if most < LEAST_BUDGET_TOKENS:
        raise InvalidRequest(
            f"Total message token length exceed model limit ({room.window_tokens} tokens): the messages have "
            f"{room.said_tokens} tokens and {room.reserve_tokens} are kept for the answer, which leaves no room for "
            "documents. Shorten the conversation, lower max_tokens, or choose an engine with a larger window.",
            param="messages",
        )
    budget = min(most, room.set_tokens or most)
    if choice == "full":
        return _full(whole_tokens, most, room)
    if choice != "auto":
        return Plan(choice, budget, "asked for", is_asked_for=True)
    if whole_tokens <= max(budget, min(most, room.whole_tokens)):
        return Plan("full", max(budget, whole_tokens), f"all {whole_tokens} tokens of the documents fit")
    if asks_about_whole(question):
        return Plan("overview", budget, "the question is about the whole, and the documents do not fit")
    return Plan("relevant", budget, f"the documents take {whole_tokens} tokens, the budget is {budget}")


def asks_about_whole(question: str) -> bool:
    """Whether a question is about documents as a whole, and names nothing in them."""
    folded = fold(question)
    if not _WHOLE.search(folded):
        return False
    rest = _OF_WHOLES.sub(" ", _WHOLE.sub(" ", folded))
    return sum(character.isalnum() for character in rest) <= MOST_OTHER_CHARACTERS


def _full(whole_tokens: int, most: int, room: Room) -> Plan:
    if whole_tokens > most:
        raise InvalidRequest(
            f"Total message token length exceed model limit ({room.window_tokens} tokens): the documents take {whole_tokens} "
            f"tokens in full, the messages {room.said_tokens}, and {room.reserve_tokens} are kept for the answer. Ask with "
            "reading relevant, overview or thorough, name fewer documents, or choose an engine with a larger window.",
            param="messages",
        )
    return Plan("full", most, "asked for", is_asked_for=True)
