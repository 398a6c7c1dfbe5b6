"""Engines of seven kinds, each in a thread of the test, that speak their own dialect of OpenAI's protocol.

What they share with the engines they stand for is the outside: which fields they heed, refuse or overlook, which shapes
their answers, chunks and errors have, and where they tell their counts and windows. Sources: those named in
`bookwheel.engines.dialects`; for errors also the engines' issue trackers, and llama.cpp itself.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from aiohttp import web

from support.stand_in import ANSWER, Fields, Refused, Said, StandIn, count_words, switched_by_template


class VllmStandIn(StandIn):
    """vLLM. `is_old`: as before the end of 2025, with errors that are not wrapped, and `reasoning_content`."""

    dialect = "vllm"

    def __init__(self, *, is_old: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.thoughts_name = "reasoning_content" if is_old else "reasoning"
        self.is_old = is_old

    def is_continued(self, body: Fields) -> bool:
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
            raise Refused(400, self.error(400, message))
        return bool(body.get("continue_final_message"))

    def thinks(self, body: Fields) -> bool:
        return switched_by_template(body)

    def error(self, status: int, message: str) -> Fields:
        error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
        return {"object": "error"} | error if self.is_old else {"error": error}

    def too_long(self, tokens: int) -> Refused:
        message = f"This model's maximum context length is {self.window_tokens} tokens. Your request has {tokens} input tokens."
        return Refused(400, self.error(400, message))

    def message(self, said: Said) -> Fields:
        odds = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        return super().message(said) | odds | {self.thoughts_name: "".join(said.thoughts) or None}

    def whole(self, said: Said) -> Fields:
        answer = super().whole(said)
        answer["choices"][0] |= {"stop_reason": None, "token_ids": None}
        return answer | {"prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None}

    def deltas(self, said: Said) -> Iterator[Fields]:
        for delta in super().deltas(said):
            thought = delta.pop("reasoning_content", None)
            yield delta if thought is None else {self.thoughts_name: thought}

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        chunk = super().chunk(delta, finish_reason)
        if finish_reason:
            chunk["choices"][0] |= {"delta": {"content": ""}, "stop_reason": None}
        return chunk

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/tokenize", self._tokenize)]

    def model_object(self) -> Fields:
        return super().model_object() | {"root": "mock", "parent": None, "max_model_len": self.window_tokens}

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "messages" in body:
            self.is_continued(body)
            words = count_words(body["messages"]) + 3 * len(body.get("tools") or ())
        else:
            words = len(body["prompt"].split()) + bool(body.get("add_special_tokens", True))
        told = {"count": words, "max_model_len": self.window_tokens, "tokens": list(range(words))}
        return web.json_response(told | {"token_strs": None})


class SglangStandIn(VllmStandIn):
    """SGLang: every delta has every field. `is_old`: it tokenizes texts only."""

    dialect = "sglang"

    def is_continued(self, body: Fields) -> bool:
        return bool(body.get("continue_final_message"))

    def error(self, status: int, message: str) -> Fields:
        return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": status}

    def too_long(self, tokens: int) -> Refused:
        message = (
            f"The input ({tokens} tokens) is longer than the model's context length ({self.window_tokens} tokens)."
        )
        return Refused(400, self.error(400, message))

    def message(self, said: Said) -> Fields:
        thoughts = "".join(said.thoughts) or None
        return {"content": None, "tool_calls": None} | StandIn.message(self, said) | {"reasoning_content": thoughts}

    def whole(self, said: Said) -> Fields:
        answer = StandIn.whole(self, said)
        answer["choices"][0]["matched_stop"] = 151_645
        answer["usage"] |= {"prompt_tokens_details": None, "reasoning_tokens": len(said.thoughts)}
        return answer | {"metadata": {"weight_version": "default"}}

    def deltas(self, said: Said) -> Iterator[Fields]:
        none = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
        return (none | delta for delta in StandIn.deltas(self, said))

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        chunk = StandIn.chunk(self, delta, finish_reason)
        chunk["choices"][0]["matched_stop"] = 151_645 if finish_reason else None
        return chunk | {"usage": None}

    async def _tokenize(self, request: web.Request) -> web.Response:
        if self.is_old and "prompt" not in await request.json():
            raise Refused(400, self.error(400, "1 validation error: body.prompt Field required"))
        return await super()._tokenize(request)


class LlamaServerStandIn(StandIn):
    """llama-server. `is_old`: as of the middle of 2025: it goes on, but not if it may think, and counts in two steps."""

    dialect = "llama_server"

    def __init__(self, *, is_old: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.is_old = is_old

    def is_continued(self, body: Fields) -> bool:
        thinks = (body.get("chat_template_kwargs") or {}).get("enable_thinking", True)
        if self.is_old and thinks:
            raise Refused(400, self.error(400, "Assistant response prefill is incompatible with enable_thinking."))
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            message = "Cannot set both add_generation_prompt and continue_final_message to true."
            raise Refused(400, self.error(400, message))
        return True

    def thinks(self, body: Fields) -> bool:
        return switched_by_template(body)

    def error(self, status: int, message: str) -> Fields:
        return {"error": {"code": status, "message": message, "type": "invalid_request_error"}}

    def too_long(self, tokens: int) -> Refused:
        error = self.error(
            400, f"request ({tokens} tokens) exceeds the available context size ({self.window_tokens} tokens)"
        )
        more = {"type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": self.window_tokens}
        return Refused(400, {"error": error["error"] | more})

    def whole(self, said: Said) -> Fields:
        answer = super().whole(said)
        message = answer["choices"][0]["message"]
        if said.continued:
            message["content"] = said.continued + message["content"]
        if said.thoughts:
            message["reasoning_content"] = "".join(said.thoughts)
        return answer | {"timings": {"cache_n": 0, "prompt_n": said.prompt_tokens}, "system_fingerprint": "b1"}

    def deltas(self, said: Said) -> Iterator[Fields]:
        opening, *deltas = super().deltas(said)
        return iter([opening | {"content": None}, *deltas])

    def routes(self) -> list[web.RouteDef]:
        routes = [web.post("/tokenize", self._tokenize), web.post("/apply-template", self._apply_template)]
        if not self.is_old:
            routes.append(web.post("/v1/chat/completions/input_tokens", self._count))
        return [*routes, web.get("/props", self._props)]

    async def send(self, request: web.Request, events: list[str]) -> web.StreamResponse:
        """It says that the connection is kept, and closes it."""
        response = await super().send(request, events)
        if request.transport is not None:
            request.transport.close()
        return response

    async def _count(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"object": "response.input_tokens", "input_tokens": count_words(body["messages"])})

    async def _apply_template(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"prompt": " ".join(message["content"] for message in body["messages"])})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        words = body["content"].split()
        parsed = [1 if body.get("parse_special", True) and word == "<s>" else 100 for word in words]
        return web.json_response({"tokens": parsed})

    async def _props(self, _request: web.Request) -> web.Response:
        return web.json_response({"default_generation_settings": {"n_ctx": self.window_tokens}, "total_slots": 1})


class OllamaStandIn(StandIn):
    """Ollama: what does not fit its window is cut off at the front, without a word. `is_loaded`: whether the model runs."""

    dialect = "ollama"

    def __init__(self, *, is_loaded: bool = True, parameters: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.is_loaded = is_loaded
        self.parameters = parameters

    def is_continued(self, body: Fields) -> bool:
        return True

    def thinks(self, body: Fields) -> bool:
        effort = (body.get("reasoning") or {}).get("effort") or body.get("reasoning_effort") or "none"
        if effort not in ("high", "medium", "low", "none"):
            message = f'invalid reasoning value: \'{effort}\' (must be "high", "medium", "low", or "none")'
            raise Refused(400, self.error(400, message))
        return bool(effort != "none")

    def understand(self, body: Fields) -> Said:
        tokens = count_words(body["messages"])
        if tokens <= self.window_tokens:
            return super().understand(body)
        return Said(ANSWER, self.window_tokens)

    def message(self, said: Said) -> Fields:
        thoughts = {"reasoning": "".join(said.thoughts)} if said.thoughts else {}
        return super().message(said) | {"content": "".join(said.words)} | thoughts

    def whole(self, said: Said) -> Fields:
        return super().whole(said) | {"system_fingerprint": "fp_ollama"}

    def deltas(self, said: Said) -> Iterator[Fields]:
        opening = {"role": "assistant", "content": ""}
        yield from (opening | {"reasoning": thought} for thought in said.thoughts)
        yield from (opening | {"content": word} for word in said.words)
        if said.calls:
            yield opening | self.calls(said, streamed=True)

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""} | delta, "finish_reason": finish_reason}
        return self.head("chat.completion.chunk") | {"system_fingerprint": "fp_ollama", "choices": [choice]}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/ps", self._running), web.post("/api/show", self._show)]

    async def _running(self, _request: web.Request) -> web.Response:
        entry = {"name": "mock:latest", "model": "mock:latest", "size": 1, "context_length": self.window_tokens}
        return web.json_response({"models": [entry] if self.is_loaded else []})

    async def _show(self, request: web.Request) -> web.Response:
        if (await request.json())["model"] != "mock":
            raise Refused(404, {"error": "model not found"})
        return web.json_response({"parameters": self.parameters, "model_info": {"qwen2.context_length": 32_768}})


class LmStudioStandIn(StandIn):
    """LM Studio. Streams have begun before it looks at the length; `names_it_reasoning`: as it does for gpt-oss."""

    dialect = "lm_studio"
    thinks_unasked = True

    def __init__(self, *, is_loaded: bool = True, names_it_reasoning: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.is_loaded = is_loaded
        self.thoughts_name = "reasoning" if names_it_reasoning else "reasoning_content"

    def is_continued(self, body: Fields) -> bool:
        return True

    def thinks(self, body: Fields) -> bool:
        return bool(body.get("reasoning_effort") != "none")

    def error(self, status: int, message: str) -> Fields:
        return {"error": message}

    def too_long(self, tokens: int) -> Refused:
        message = (
            "The number of tokens to keep from the initial prompt is greater than the context length "
            f"(n_keep: {tokens}>= n_ctx: {self.window_tokens})."
        )
        return Refused(400, self.error(400, message))

    def message(self, said: Said) -> Fields:
        thoughts = {self.thoughts_name: "".join(said.thoughts)} if said.thoughts else {}
        return super().message(said) | {"content": "".join(said.words)} | thoughts

    def whole(self, said: Said) -> Fields:
        return super().whole(said) | {"stats": {}, "system_fingerprint": "mock"}

    def deltas(self, said: Said) -> Iterator[Fields]:
        yield from ({"role": "assistant", self.thoughts_name: thought} for thought in said.thoughts)
        yield from ({"role": "assistant", "content": word} for word in said.words)
        if said.calls:
            yield {"role": "assistant"} | self.calls(said, streamed=True)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        try:
            return await super()._chat(request)
        except Refused as refused:
            if not body.get("stream"):
                raise
            return await self.send(request, [json.dumps({"error": {"message": refused.body["error"]}})])

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v0/models", self._models_v0)]

    async def _models_v0(self, _request: web.Request) -> web.Response:
        loaded = {"state": "loaded", "loaded_context_length": self.window_tokens}
        entry = {"id": "mock", "state": "not-loaded", "max_context_length": 131_072} | (
            loaded if self.is_loaded else {}
        )
        return web.json_response({"object": "list", "data": [entry]})


class DashscopeStandIn(StandIn):
    """DashScope. It thinks in streams only, and does not go on with what it thinks about."""

    dialect = "dashscope"

    def is_continued(self, body: Fields) -> bool:
        is_partial = bool(body["messages"][-1].get("partial"))
        if is_partial and body.get("enable_thinking"):
            raise Refused(400, self.error(400, "Partial mode is not supported when enable_thinking is true"))
        return is_partial

    def thinks(self, body: Fields) -> bool:
        thinks = bool(body.get("enable_thinking"))
        if thinks and not body.get("stream"):
            message = "parameter.enable_thinking must be set to false for non-streaming calls"
            raise Refused(400, self.error(400, message))
        return thinks

    def error(self, status: int, message: str) -> Fields:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_parameter_error"}
        return {"error": error, "request_id": "84d2e8ef-0000-9d1f-9f0c-000000000000"}

    def too_long(self, tokens: int) -> Refused:
        return Refused(400, self.error(400, f"Range of input length should be [1, {self.window_tokens}]"))

    def deltas(self, said: Said) -> Iterator[Fields]:
        for delta in super().deltas(said):
            yield {"content": None} | delta if "reasoning_content" in delta else delta

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        return super().chunk(delta, finish_reason) | {"usage": None, "system_fingerprint": None}


class OpenAiStandIn(StandIn):
    """OpenAI; `is_azure`: with the filters' results before, between and after the chunks. It refuses what it does not know."""

    dialect = "openai"
    can_continue = False
    can_think = False
    KNOWN: ClassVar = {
        *("model", "messages", "stream", "stream_options", "tools", "tool_choice", "response_format", "temperature"),
        *("max_tokens", "seed", "top_k"),
    }

    def __init__(self, *, is_azure: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.is_azure = is_azure

    def is_continued(self, body: Fields) -> bool:
        return False

    def thinks(self, body: Fields) -> bool:
        for name in body.keys() - self.KNOWN:
            error = self.error(400, f"Unrecognized request argument supplied: {name}")
            raise Refused(400, {"error": error["error"] | {"code": "unknown_parameter", "param": name}})
        return False

    def too_long(self, tokens: int) -> Refused:
        message = (
            f"This model's maximum context length is {self.window_tokens} tokens. Your messages resulted in {tokens}."
        )
        error = self.error(400, message)
        return Refused(400, {"error": error["error"] | {"param": "messages", "code": "context_length_exceeded"}})

    def message(self, said: Said) -> Fields:
        return super().message(said) | {"refusal": None, "annotations": []}

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        more = {"service_tier": "default", "system_fingerprint": "fp_1", "usage": None, "obfuscation": "x7"}
        return super().chunk(delta, finish_reason) | more

    def chunks(self, said: Said, *, with_usage: bool) -> Iterator[Fields]:
        if not self.is_azure:
            yield from super().chunks(said, with_usage=with_usage)
            return
        safe = {"hate": {"filtered": False, "severity": "safe"}}
        blank = {"id": "", "object": "", "created": 0, "model": ""}
        yield blank | {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe}]}
        yield from super().chunks(said, with_usage=with_usage)
        yield blank | {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": safe}]}


STAND_INS: dict[str, type[StandIn]] = {
    stand_in.dialect: stand_in
    for stand_in in (
        VllmStandIn, SglangStandIn, LlamaServerStandIn, OllamaStandIn, LmStudioStandIn, DashscopeStandIn, OpenAiStandIn
    )
}  # fmt: skip
