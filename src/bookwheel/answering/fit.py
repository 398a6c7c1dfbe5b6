"""Makes what is shown fit the engine by the engine's own count.

Budgets are planned with Qwen's vocabulary (`bookwheel.tokens`). An engine that can count its prompt is asked where its count
could matter: where a budget is set, or the window is nearly filled. Where it counts more than there is room for, the plan
is tightened by that much, and the documents are gathered once more.
"""

from dataclasses import replace

from bookwheel.answering.conversation import text_of
from bookwheel.answering.documents import count_tokens_aside
from bookwheel.answering.plan import LEAST_BUDGET_TOKENS, Plan, Room, asks_about_whole
from bookwheel.engines.engine import Engine, EngineRequest
from bookwheel.errors import InvalidRequest
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS

FITTINGS = 4
"""How often documents are gathered at the most; the second time nearly always fits."""
MOST_TOKENS_TO_ONE = 2.0
"""No vocabulary in use needs more tokens for a text than twice Qwen's: below that share of the window nobody is asked."""
TEMPLATE_TOKENS = 512
"""What a template may add of its own."""
SLACK = 0.99


async def fitted(engine: Engine, request: EngineRequest, plan: Plan, room: Room) -> Plan | None:
    """The plan by which less is shown; None where what is shown fits.

    Raises InvalidRequest where all of the documents were asked for and they do not fit.
    """
    if plan.reading == "thorough" or not engine.has_own_count:
        return None
    ours = await count_tokens_aside("\n".join(text_of(message) for message in request.messages))
    ours += MESSAGE_OVERHEAD_TOKENS * (len(request.messages) + 1)
    most = MOST_TOKENS_TO_ONE * ours + TEMPLATE_TOKENS + room.reserve_tokens
    if room.set_tokens is None and most <= room.window_tokens:
        return None
    counted = await engine.count_prompt(request)
    if counted is None:
        return None
    share = counted / ours
    shown = max(0, ours - room.said_tokens)
    too_many = max(counted + room.reserve_tokens - room.window_tokens, share * shown - _most_shown(plan, room))
    if too_many <= 0:
        return None
    budget_tokens = SLACK * (min(shown, plan.budget_tokens) - too_many / share)
    return _tightened(plan, room, counted, int(budget_tokens), request.question)


def _most_shown(plan: Plan, room: Room) -> int:
    """What of the documents may be shown for the budget's sake, in the engine's tokens."""
    if room.set_tokens is None or (plan.reading == "full" and plan.is_asked_for):
        return room.window_tokens
    return max(room.set_tokens, room.whole_tokens) if plan.reading == "full" else room.set_tokens


def _tightened(plan: Plan, room: Room, counted: int, budget_tokens: int, question: str) -> Plan:
    if plan.reading == "full" and plan.is_asked_for:
        raise InvalidRequest(
            f"Total message token length exceed model limit ({room.window_tokens} tokens): the engine counts {counted} "
            f"tokens, and {room.reserve_tokens} are kept for the answer. Ask with reading relevant, overview or thorough, "
            "name fewer documents, or choose an engine with a larger window.",
            param="messages",
        )
    reason = f"the engine counts {counted} tokens for what was to be shown"
    reading = plan.reading
    if reading == "full":
        reading = "overview" if asks_about_whole(question) else "relevant"
    return replace(plan, reading=reading, budget_tokens=max(LEAST_BUDGET_TOKENS, budget_tokens), reason=reason)
