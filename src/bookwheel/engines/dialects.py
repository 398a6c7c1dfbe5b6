"""How engines that speak OpenAI's protocol differ, where it matters here; what is the same stands in `upstream`.

Read off their documentation and source in 2026:

| | vLLM, SGLang | llama-server | Ollama | LM Studio | DashScope | OpenAI |
|---|---|---|---|---|---|---|
| goes on with a last assistant message | when told | by itself or when told | by itself | by itself | `partial` | no |
| thinking is switched in | `chat_template_kwargs` | the same | `reasoning_effort` | the same | `enable_thinking` | |
| thoughts come back in `reasoning` | vLLM | no | yes | of some models | no | |
| tokenizes | yes | yes | no | no | no | no |
| tells its window | yes | yes | yes | of loaded models | no | no |

vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server/ and /features/reasoning_outputs/ (`reasoning` was
`reasoning_content` once), `vllm/entrypoints/serve/tokenize/protocol.py`. SGLang: https://docs.sglang.io/docs/advanced_features/
(thinking_budget, separate_reasoning), `python/sglang/srt/entrypoints/openai/protocol.py`. llama-server:
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md, pull requests 13174, 23012 and 23089. Ollama:
https://docs.ollama.com/api/openai-compatibility, /context-length and /api/ps. LM Studio: https://lmstudio.ai/docs/developer
(rest/endpoints, api-changelog). DashScope: https://help.aliyun.com/en/model-studio/partial-mode and /deep-thinking.

An engine of the dialect `openai` is left alone: requests go to it, and answers come from it, as they are.
"""

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]


class NoSuchCall(Exception):
    """The engine does not have a call, or something before it does not let it through."""


Ask = Callable[[str, Fields | None], Coroutine[Any, Any, Fields]]
"""(path, body) → the fields of the answer, none where the engine refuses the request; without a body it is a GET.

A path that begins with a slash begins at the engine's root, others at its base URL. Raises NoSuchCall.
"""
Count = Callable[[Ask, Fields], Coroutine[Any, Any, int | None]]
"""The tokens of a chat's prompt, told by its body; None where the engine does not say."""
Tokenize = Callable[[Ask, str, str], Coroutine[Any, Any, list[int] | None]]
"""The tokens of a text for a model, no control token among them; None where the engine does not say."""
FindWindow = Callable[[Ask, str], Coroutine[Any, Any, int | None]]
"""What a model accepts at the most, in tokens; None where the engine does not say."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of engine; see the module. What is not set is left to the engine as it comes."""

    name: str
    is_translated: bool = True
    continuation: tuple[tuple[str, Any], ...] = ()
    """Fields that have it go on with a last assistant message."""
    echoes_continued: bool = False
    """Whether a whole answer begins with the text that was given to be continued."""
    thinking_kwargs: tuple[str, ...] = ()
    """Variables of chat templates that switch thinking."""
    efforts: tuple[str, str | None] | None = None
    """The `reasoning_effort` that switches thinking off, and the one that switches it on; None: nothing need be said."""
    budget_field: str | None = None
    """The field for the tokens of thinking; a dot leads into another object."""
    renames_thoughts: bool = False
    """Whether thoughts may come as `reasoning`: then they are given as `reasoning_content` too."""
    names_tools: bool = True
    """Whether it calls the function that `tool_choice` names; else that one alone is given to it, and a call required."""
    own_fault: re.Pattern[str] | None = None
    """Messages of errors 500 that say what is wrong with the request: it is refused, and the engine is well."""
    hangs_up: bool = False
    """Whether it closes the connection after a stream, without having said so: another request must not go over it."""
    count: Count | None = None
    tokenize: Tokenize | None = None
    find_window: FindWindow | None = None
    widening: str = ""
    """How an operator widens its window to {tokens}."""
    caution: str = ""
    """What an operator should know where the window cannot be found out."""


def translate(dialect: Dialect, body: Fields) -> Fields:
    """A chat's body as the engine understands it: `partial`, `enable_thinking` and `thinking_budget` in its own words.

    The client's own words in the engine's dialect win. A continued answer is not thought about unless the client says so:
    that is what `partial` means where it comes from, and some engines refuse the two together.
    """
    if not dialect.is_translated:
        return body
    translated = dict(body)
    is_continued = continued_text(body) is not None
    if is_continued:
        last = {name: value for name, value in body["messages"][-1].items() if name != "partial"}
        translated["messages"] = [*body["messages"][:-1], last]
        translated |= {name: value for name, value in dialect.continuation if name not in body}
    if not dialect.names_tools:
        _require_named_tool(translated)
    enabled = translated.pop("enable_thinking", None)
    if enabled is None and is_continued:
        enabled = False
    if enabled is not None:
        _switch_thinking(dialect, translated, enabled)
    if dialect.budget_field is not None and translated.get("thinking_budget") is not None:
        _set_default(translated, dialect.budget_field, translated.pop("thinking_budget"))
    return translated


def continued_text(body: Fields) -> str | None:
    """The text of a last assistant message that is to be continued; None where there is none."""
    last = body["messages"][-1] if body.get("messages") else None
    if not isinstance(last, dict) or last.get("role") != "assistant" or not last.get("partial"):
        return None
    return last["content"] if isinstance(last.get("content"), str) else ""


def _require_named_tool(body: Fields) -> None:
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(choice, dict) or not isinstance(tools, list):
        return
    named = [tool for tool in tools if isinstance(tool, dict) and _function_name(tool) == _function_name(choice)]
    if named:
        body["tools"], body["tool_choice"] = named, "required"


def _function_name(tool: Fields) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _switch_thinking(dialect: Dialect, body: Fields, enabled: Any) -> None:
    for name in dialect.thinking_kwargs:
        _set_default(body, f"chat_template_kwargs.{name}", enabled)
    if dialect.efforts is not None and "reasoning" not in body:
        effort = dialect.efforts[bool(enabled)]
        if effort is not None:
            body.setdefault("reasoning_effort", effort)


def _set_default(body: Fields, field: str, value: Any) -> None:
    """Set a field, `object.field` being one of an inner object, unless it is set. What is no object is left to the engine."""
    outer, _, inner = field.partition(".")
    if not inner:
        body.setdefault(outer, value)
    elif isinstance(body.get(outer) or {}, dict):
        body[outer] = {inner: value} | (body.get(outer) or {})


def name_thoughts(answers: Iterable[Fields], part: str) -> None:
    """Give thoughts that came as `reasoning` as `reasoning_content` too. `part` is `message` or `delta`."""
    for answer in answers:
        for choice in answer.get("choices") or ():
            said = choice.get(part)
            if said and said.get("reasoning") and not said.get("reasoning_content"):
                said["reasoning_content"] = said["reasoning"]


def without_echo(answer: Fields, continued: str) -> None:
    """Take the text that was given to be continued off the answers that begin with it."""
    for choice in answer["choices"]:
        message = choice.get("message") or {}
        if continued and (message.get("content") or "").startswith(continued):
            message["content"] = message["content"][len(continued) :]


_MAY_BE_CONTROL = re.compile(r"<[^\s<>]{1,60}>|\[/?[A-Z_]{2,20}\]|◁")
"""`<|im_end|>`, `</s>`, `<think>`, `<｜User｜>`, `[/INST]`, `◁think▷`; and tags of HTML with them."""
_TEMPLATE_FIELDS = (
    *("model", "messages", "tools", "tool_choice", "chat_template", "chat_template_kwargs", "reasoning_effort"),
    *("add_generation_prompt", "continue_final_message", "add_special_tokens"),
)
"""Fields of a chat's body that shape its prompt."""


async def _count_by_tokenize(ask: Ask, body: Fields) -> int | None:
    asked = {name: body[name] for name in _TEMPLATE_FIELDS if name in body}
    if body.get("reasoning_effort"):  # a chat hands it to the template, vLLM's `/tokenize` does not
        _set_default(asked, "chat_template_kwargs.reasoning_effort", body["reasoning_effort"])
    return _whole((await ask("/tokenize", asked)).get("count"))


async def _tokenize_prompt(ask: Ask, model: str, text: str) -> list[int] | None:
    """vLLM and SGLang cannot be told that control tokens in a text are text: one that may hold any is not asked about."""
    if _MAY_BE_CONTROL.search(text):
        return None
    answer = await ask("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
    return _token_ids(answer.get("tokens"))


async def _count_by_llama_server(ask: Ask, body: Fields) -> int | None:
    """One call; those before the end of 2025 have it write the prompt and then tokenize that, as a chat does."""
    try:
        return _whole((await ask("chat/completions/input_tokens", body)).get("input_tokens"))
    except NoSuchCall:
        prompt = (await ask("/apply-template", body)).get("prompt")
    if not isinstance(prompt, str):
        return None
    tokens = _token_ids((await ask("/tokenize", {"content": prompt, "add_special": True})).get("tokens"))
    return None if tokens is None else len(tokens)


async def _tokenize_content(ask: Ask, _model: str, text: str) -> list[int] | None:
    answer = await ask("/tokenize", {"content": text, "add_special": False, "parse_special": False})
    return _token_ids(answer.get("tokens"))


async def _window_in_models(ask: Ask, model: str) -> int | None:
    return _whole(_entry((await ask("models", None)).get("data"), model).get("max_model_len"))


async def _window_in_props(ask: Ask, _model: str) -> int | None:
    """That of one slot: what `-c` says is shared among the slots, unless they are unified."""
    settings = (await ask("/props", None)).get("default_generation_settings")
    return _whole(settings.get("n_ctx")) if isinstance(settings, dict) else None


async def _window_in_lm_studio(ask: Ask, model: str) -> int | None:
    """None while the model is not loaded."""
    return _whole(_entry((await ask("/api/v0/models", None)).get("data"), model).get("loaded_context_length"))


async def _window_in_ollama(ask: Ask, model: str) -> int | None:
    """That of the running model, else the one that its Modelfile sets."""
    running = _entry((await ask("/api/ps", None)).get("models"), model, "model").get("context_length")
    if _whole(running):
        return _whole(running)
    parameters = (await ask("/api/show", {"model": model})).get("parameters")
    lines = [line.split() for line in parameters.splitlines()] if isinstance(parameters, str) else []
    said = next((words[1] for words in lines if words[:1] == ["num_ctx"] and len(words) == 2), "")
    return int(said) if said.isdecimal() else None


def _entry(listed: Any, model: str, key: str = "id") -> Fields:
    """The list's entry of a model. Ollama's names end in `:latest` where nothing else is said."""
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and entry.get(key) in (model, f"{model}:latest"):
            return entry
    return {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _token_ids(value: Any) -> list[int] | None:
    is_list = isinstance(value, list) and all(type(token) is int for token in value)
    return value if is_list else None


_LLAMA_SERVER_REFUSES = re.compile(
    "input is not supported|Unsupported param|Failed to (load|download) image|Invalid base64|Cannot use both|Only no echo"
)
"""What `oaicompat_chat_params_parse` of `tools/server/server-common.cpp` throws as `std::runtime_error`: a 500."""
_CONTINUE = (("continue_final_message", True), ("add_generation_prompt", False))

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("openai", is_translated=False),
        Dialect("dashscope", is_translated=False),
        Dialect(
            "vllm",
            continuation=_CONTINUE,
            thinking_kwargs=("enable_thinking", "thinking"),
            budget_field="thinking_token_budget",
            renames_thoughts=True,
            count=_count_by_tokenize,
            tokenize=_tokenize_prompt,
            find_window=_window_in_models,
            widening="start it with --max-model-len {tokens}",
        ),
        Dialect(
            "sglang",
            continuation=_CONTINUE[:1],
            thinking_kwargs=("enable_thinking", "thinking"),
            budget_field="custom_params.thinking_budget",
            count=_count_by_tokenize,
            tokenize=_tokenize_prompt,
            find_window=_window_in_models,
            widening="start it with --context-length {tokens}",
        ),
        Dialect(
            "llama_server",
            continuation=_CONTINUE,
            echoes_continued=True,
            names_tools=False,
            own_fault=_LLAMA_SERVER_REFUSES,
            hangs_up=True,
            thinking_kwargs=("enable_thinking",),
            budget_field="thinking_budget_tokens",
            count=_count_by_llama_server,
            tokenize=_tokenize_content,
            find_window=_window_in_props,
            widening="start it with -c {tokens}, times the slots that -np asks for",
        ),
        Dialect(
            "ollama",
            efforts=("none", "medium"),
            renames_thoughts=True,
            find_window=_window_in_ollama,
            widening="start it with OLLAMA_CONTEXT_LENGTH={tokens}; until then it cuts longer prompts without a word",
            caution=(
                "It does not say its window before the model is loaded, and cuts longer prompts without a word: "
                "start it with OLLAMA_CONTEXT_LENGTH={tokens}."
            ),
        ),
        Dialect(
            "lm_studio",
            efforts=("none", None),
            renames_thoughts=True,
            find_window=_window_in_lm_studio,
            widening="load the model with `lms load --context-length {tokens}`",
        ),
    )
}
