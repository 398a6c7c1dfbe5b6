"""An engine that does whatever an OpenAI client can ask of one, by rule instead of by model, and keeps every byte.

Its answers are sentences of the documents it is shown, or what tools, schemas, pictures and half answers call for. What it
adds of its own (`x_` fields, extreme numbers, rare characters) shows whether an answer reaches the client as it was sent.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Fields = dict[str, Any]

HEAD: Fields = {"id": "chatcmpl-mock", "created": 1_700_000_000, "model": "mock", "system_fingerprint": "fp_mock"}
OWN = {
    "x_engine": {"null": None, "tiny": 1e-9, "third": 0.1, "huge": 123456789012345678901234567890, "one": 1.0},
    "x_words": "泊 𝄞 \u2028 é é </s> <|im_end|>",
}
"""Fields that no client knows: they must reach it all the same."""
THOUGHTS = "First I read what is shown. Then I weigh it. Then I answer."
CONTINUATION = " as high as the file says."
TOP = [" the", " a", " one"]

_SHOWN = re.compile(r'<document name="[^"]*">\n(.*?)</document>', re.DOTALL)
_SENTENCE = re.compile(r"[^\n]+")
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class Said:
    """One choice of an answer."""

    content: str | None
    thoughts: str
    calls: tuple[Fields, ...]
    finish_reason: str


class FeatureEngine:
    """`received` holds the bodies it was sent, `sent` what it answered, both as bytes: an answer, or the data of events."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.sent: list[bytes] = []

    async def behave(self, request: web.Request, body: Fields) -> web.StreamResponse:
        """A behaviour for `RecordingEngine`."""
        self.received.append(await request.read())
        refusal = _refusal(body)
        if refusal is not None:
            return web.json_response({"error": refusal}, status=400)
        said = [_say(body, number) for number in range(body.get("n") or 1)]
        if not body.get("stream"):
            self.sent = [_encode(_whole(body, said))]
            return web.Response(body=self.sent[0], content_type="application/json")
        self.sent = [_encode(chunk) for chunk in _chunks(body, said)]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in [*self.sent, b"[DONE]"]:
            await response.write(b"data: " + event + b"\n\n")
        await response.write_eof()
        return response


def _encode(answer: Fields) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode()


def _refusal(body: Fields) -> Fields | None:
    """Its own error for a tool that is not there, in its own words."""
    named = body.get("tool_choice")
    names = {tool["function"]["name"] for tool in body.get("tools") or ()}
    if isinstance(named, dict) and named["function"]["name"] not in names:
        message = f"Tool {named['function']['name']} is not among the tools."
        return {"message": message, "type": "BadRequestError", "param": "tool_choice", "code": "unknown_tool"}
    return None


# What is said


def _say(body: Fields, number: int) -> Said:
    thoughts = _think(body)
    calls = tuple(_calls(body))
    if calls:
        return Said(None, thoughts, calls, "tool_calls" if "tools" in body else "function_call")
    content, finish_reason = _cut(body, _content(body, number))
    return Said(content, thoughts, (), finish_reason)


def _think(body: Fields) -> str:
    if not body.get("enable_thinking") and body.get("reasoning_effort") in (None, "none"):
        return ""
    budget = body.get("thinking_budget") or {"low": 3, "medium": 6}.get(str(body.get("reasoning_effort")))
    return "".join(_WORD.findall(THOUGHTS)[:budget])


def _calls(body: Fields) -> Iterator[Fields]:
    if body["messages"][-1]["role"] in ("tool", "function"):
        return
    functions = [tool["function"] for tool in body.get("tools") or ()] or body.get("functions") or []
    choice = body.get("tool_choice") or body.get("function_call") or "auto"
    if isinstance(choice, dict):
        name = (choice.get("function") or choice)["name"]
        functions = [function for function in functions if function["name"] == name]
    elif choice == "auto":
        asked = _text(_last_user(body))
        functions = [function for function in functions if function["name"].replace("_", " ") in asked]
    elif choice == "none":
        functions = []
    several = body.get("parallel_tool_calls", True) and choice in ("auto", "required")
    for function in functions if several else functions[:1]:
        arguments = json.dumps(_instance(function.get("parameters") or {}), ensure_ascii=False)
        yield {"name": function["name"], "arguments": arguments}


def _content(body: Fields, number: int) -> str:
    last = body["messages"][-1]
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(_instance(form["json_schema"]["schema"]), ensure_ascii=False)
    if form.get("type") == "json_object":
        return json.dumps({"answer": _sentence(body, number)}, ensure_ascii=False)
    if last["role"] == "assistant" and last.get("partial"):
        return CONTINUATION
    if last["role"] in ("tool", "function"):
        return f"The tool says: {last['content']}"
    return " ".join(_perceived(last)) or _sentence(body, number)


def _perceived(message: Fields) -> Iterator[str]:
    parts = message["content"] if isinstance(message["content"], list) else []
    for part in parts:
        if part["type"] == "image_url":
            yield f"I see {len(part['image_url']['url'])} characters of a picture."
        if part["type"] == "input_audio":
            yield f"I hear {len(part['input_audio']['data'])} characters of sound."


def _sentence(body: Fields, number: int) -> str:
    """A line of the documents: by `seed` where one is given, else the first; for each choice another."""
    shown = "\n".join(text for message in body["messages"] for text in _SHOWN.findall(_text(message)))
    lines: list[str] = _SENTENCE.findall(shown) or ["Nothing is shown to me."]
    first = random.Random(body["seed"]).randrange(len(lines)) if body.get("seed") is not None else 0
    return lines[(first + number) % len(lines)]


def _cut(body: Fields, text: str) -> tuple[str, str]:
    stop = body.get("stop") or []
    cut = text
    for mark in [stop] if isinstance(stop, str) else stop:
        cut = cut.partition(mark)[0]
    words = _WORD.findall(cut)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and len(words) > limit:
        return "".join(words[:limit]), "length"
    return cut, "stop"


def _instance(schema: Fields) -> Any:
    """Something that a JSON schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kinds = {"string": "潮 6.7 m", "integer": 7, "number": 6.7, "boolean": True, "null": None}
    kind = schema.get("type", "object")
    if kind == "array":
        return [_instance(schema.get("items") or {})]
    if kind != "object":
        return kinds[kind]
    return {name: _instance(inner) for name, inner in (schema.get("properties") or {}).items()}


def _text(message: Fields) -> str:
    content: str | list[Fields] = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _last_user(body: Fields) -> Fields:
    found: Fields = next(message for message in reversed(body["messages"]) if message["role"] == "user")
    return found


# How it is told


def _whole(body: Fields, said: list[Said]) -> Fields:
    choices = [_choice(body, number, one) for number, one in enumerate(said)]
    return HEAD | {"object": "chat.completion", "choices": choices, "usage": _usage(body, said)} | _echo(body)


def _choice(body: Fields, number: int, said: Said) -> Fields:
    message: Fields = {"role": "assistant", "content": said.content, "refusal": None, "x_said": OWN["x_words"]}
    if said.thoughts:
        message["reasoning_content"] = said.thoughts
    if said.calls and "tools" in body:
        message["tool_calls"] = [_call(place, call) for place, call in enumerate(said.calls)]
    elif said.calls:
        message["function_call"] = said.calls[0]
    logprobs = {"content": _logprobs(body, said.content or "")} if body.get("logprobs") else None
    return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": said.finish_reason}


def _call(place: int, call: Fields) -> Fields:
    return {"id": f"call_{place}", "type": "function", "function": call}


def _chunks(body: Fields, said: list[Said]) -> Iterator[Fields]:
    """The choices take turns, word by word; all of them end together."""
    options = body.get("stream_options") or {}
    usage = _usage(body, said) if options.get("include_usage") else None
    head = HEAD | {"object": "chat.completion.chunk"}
    told = [list(_deltas(body, one)) for one in said]
    for step in range(max(len(deltas) for deltas in told)):
        for number, deltas in enumerate(told):
            if step < len(deltas):
                choice = {"index": number, "delta": deltas[step], "finish_reason": None}
                chunk = head | {"choices": [choice | _taken_logprobs(deltas[step])]}
                yield chunk | ({"usage": usage} if options.get("continuous_usage_stats") else {}) | _echo(body)
    for number, one in enumerate(said):
        yield head | {"choices": [{"index": number, "delta": {}, "logprobs": None, "finish_reason": one.finish_reason}]}
    if usage is not None:
        yield head | {"choices": [], "usage": usage}


def _deltas(body: Fields, said: Said) -> Iterator[Fields]:
    yield {"role": "assistant", "content": None if said.calls else "", "x_said": OWN["x_words"]}
    yield from ({"reasoning_content": word} for word in _WORD.findall(said.thoughts))
    for place, call in enumerate(said.calls):
        pieces = re.findall(r".{1,7}", call["arguments"])
        if "tools" not in body:
            yield {"function_call": {"name": call["name"], "arguments": ""}}
            yield from ({"function_call": {"arguments": piece}} for piece in pieces)
            continue
        opening = _call(place, {"name": call["name"], "arguments": ""})
        yield {"tool_calls": [{"index": place} | opening]}
        yield from ({"tool_calls": [{"index": place, "function": {"arguments": piece}}]} for piece in pieces)
    probabilities = _logprobs(body, said.content or "") if body.get("logprobs") else []
    for place, word in enumerate(_WORD.findall(said.content or "")):
        yield {"content": word} | ({"logprobs": probabilities[place]} if probabilities else {})


def _taken_logprobs(delta: Fields) -> Fields:
    return {"logprobs": {"content": [delta.pop("logprobs")]} if "logprobs" in delta else None}


def _logprobs(body: Fields, content: str) -> list[Fields]:
    top = [{"token": token, "logprob": -9999.0, "bytes": None} for token in TOP[: body.get("top_logprobs") or 0]]
    return [
        {"token": word, "logprob": -1.1920929e-07, "bytes": list(word.encode()), "top_logprobs": top}
        for word in _WORD.findall(content)
    ]


def _usage(body: Fields, said: list[Said]) -> Fields:
    prompt = sum(len(_WORD.findall(_text(message))) for message in body["messages"])
    thought = sum(len(_WORD.findall(one.thoughts)) for one in said)
    written = thought + sum(len(_WORD.findall(one.content or "")) for one in said)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": prompt // 2, "x_kind": "disk"},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _echo(body: Fields) -> Fields:
    """The request's own `x_` fields, beside what no client knows."""
    return {name: value for name, value in body.items() if name.startswith("x_")} | OWN
