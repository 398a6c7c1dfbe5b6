"""A request of OpenAI's Responses API as the chat request that means the same.

`instructions` and every system or developer message become the role, which is one system message: in chat a further one
would be a document. Files go before the question that they come with, or that follows. What the Responses API does on OpenAI's
side, and Bookwheel does not, is refused with what to do instead.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bookwheel.errors import InvalidRequest
from bookwheel.wire.responses import ResponsesBody

Message = dict[str, Any]
Part = dict[str, Any]

LOGPROBS = "message.output_text.logprobs"
NOTHING_IS_STORED = "Responses are not stored here: send the earlier items and the new ones together in 'input'."
REFUSED = {
    "previous_response_id": NOTHING_IS_STORED,
    "conversation": NOTHING_IS_STORED,
    "background": "Nothing runs in the background: leave 'background' out, and stream long answers with 'stream'.",
    "prompt": "Prompts are not stored here: send the prompt's text as 'instructions'.",
    "moderation": "Nothing is moderated here: leave 'moderation' out.",
    "messages": "This call takes 'input' where /chat/completions takes 'messages'.",
    "response_format": "This call takes 'text.format' where /chat/completions takes 'response_format'.",
}
"""Fields that are refused unless they are empty, and what to do."""
_TRANSLATED = frozenset(
    {
        *("input", "instructions", "max_output_tokens", "top_logprobs", "include", "reasoning", "text", "tools"),
        *("tool_choice", "parallel_tool_calls", "metadata", "store", "bookwheel", "stream_options", "truncation"),
        *("max_tool_calls", "background_options", "context_management", *REFUSED),
    }
)
"""Fields that do not go into the chat request as they came. The others mean the same there."""
_OWN_WORDS = {"messages": "input", "response_format": "text.format", "max_tokens": "max_output_tokens"}
"""What chat calls its fields, and what they are called here."""
_ITEMS = "message, function_call, function_call_output, reasoning"


def refuse_unsupported(body: dict[str, Any]) -> None:
    """Raises InvalidRequest for what is not done here."""
    for name, advice in REFUSED.items():
        if body.get(name):
            raise InvalidRequest(advice, param=name)
    if body.get("n") not in (None, 1):
        raise InvalidRequest("A response is one answer: leave 'n' out, or ask /chat/completions.", param="n")


def as_chat(asked: ResponsesBody, body: dict[str, Any]) -> dict[str, Any]:
    """The chat request of a request; `body` is the request as it came. Raises InvalidRequest."""
    passed = {name: value for name, value in body.items() if name not in _TRANSLATED and value is not None}
    options = {"citations": True} | (asked.bookwheel or {})
    translated = _generation(asked) | _format(asked.text or {}) | _tools(asked)
    return passed | translated | {"messages": read_items(asked), "bookwheel": options}


@contextmanager
def in_own_words() -> Iterator[None]:
    """What is raised inside names the fields of this call where it named those of chat.

    Which message it was says nothing here, where items became messages.
    """
    try:
        yield
    except InvalidRequest as error:
        field = re.split(r"[.\[]", error.param or "")[0]
        error.param = _OWN_WORDS.get(field, error.param)
        for word, own in _OWN_WORDS.items():
            error.message = error.message.replace(f"'{word}'", f"'{own}'")
        raise


def read_items(asked: ResponsesBody) -> list[Message]:
    """The messages that the instructions and the input come to. Raises InvalidRequest naming the item that is wrong."""
    if asked.input == []:
        raise InvalidRequest("[] is too short - 'input'", param="input")
    items = [{"role": "user", "content": asked.input}] if isinstance(asked.input, str) else asked.input
    reader = _Reader(asked.instructions)
    for number, item in enumerate(items):
        reader.read(item, f"input[{number}]")
    return reader.messages()


def _generation(asked: ResponsesBody) -> dict[str, Any]:
    """Limits go as `max_tokens`: engines that do not know `max_completion_tokens` (Ollama) write on and on."""
    options: dict[str, Any] = {}
    if asked.max_output_tokens is not None:
        options["max_tokens"] = asked.max_output_tokens
    if asked.top_logprobs or LOGPROBS in (asked.include or ()):
        options |= {"logprobs": True, "top_logprobs": asked.top_logprobs or 0}
    if effort := (asked.reasoning or {}).get("effort"):
        options["reasoning_effort"] = effort
    if asked.stream:
        options["stream_options"] = (asked.stream_options or {}) | {"include_usage": True}
    return options


def _format(text: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if text.get("verbosity"):
        options["verbosity"] = text["verbosity"]
    wanted = text.get("format")
    if not wanted:
        return options
    if not isinstance(wanted, dict):
        raise InvalidRequest("Invalid 'text.format': an object with a 'type' is needed.", param="text.format")
    if wanted.get("type") == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type" and value is not None}
        return options | {"response_format": {"type": "json_schema", "json_schema": schema}}
    return options if wanted.get("type") == "text" else options | {"response_format": wanted}


def _tools(asked: ResponsesBody) -> dict[str, Any]:
    """Without tools nothing is said of their choice: some engines refuse that."""
    tools = [_function(tool, f"tools[{number}]") for number, tool in enumerate(asked.tools or ())]
    choice = asked.tool_choice
    if isinstance(choice, dict):
        tools, choice = _choose(choice, tools)
    if not tools:
        return {}
    options = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": asked.parallel_tool_calls}
    return {name: value for name, value in options.items() if value is not None}


def _function(tool: dict[str, Any], place: str) -> dict[str, Any]:
    kind = _text(tool, "type", place)
    if kind == "file_search":
        message = (
            "There is no file_search to call: attach files as input_file parts, and they are searched by themselves."
        )
        raise InvalidRequest(message, param=place)
    if kind != "function":
        message = f"Tools of the type '{kind}' are not built in: offer one of the type 'function' and make its calls yourself."
        raise InvalidRequest(message, param=place)
    name = _text(tool, "name", place)
    known = {field: tool[field] for field in ("description", "parameters", "strict") if tool.get(field) is not None}
    return {"type": "function", "function": {"name": name} | known}


def _choose(choice: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Any]:
    """The tools that a choice leaves, and the choice in chat's words."""
    kind = choice.get("type")
    if kind == "function":
        return tools, {"type": "function", "function": {"name": _text(choice, "name", "tool_choice")}}
    allowed = choice.get("tools")
    if kind == "allowed_tools" and isinstance(allowed, list):
        names = [tool.get("name") for tool in allowed if isinstance(tool, dict)]
        return [tool for tool in tools if tool["function"]["name"] in names], choice.get("mode") or "auto"
    message = (
        "Invalid 'tool_choice': give 'none', 'auto', 'required', or an object of the type function or allowed_tools."
    )
    raise InvalidRequest(message, param="tool_choice")


class _Reader:
    """Goes through the items in order. `_files` and `_thought` wait for the message that they belong to."""

    def __init__(self, instructions: str | None) -> None:
        self._role = [instructions] if instructions else []
        self._messages: list[Message] = []
        self._files: list[Part] = []
        self._thought = ""

    def read(self, item: dict[str, Any], place: str) -> None:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message":
            self._read_message(item, place)
        elif kind == "function_call":
            self._read_call(item, place)
        elif kind == "function_call_output":
            said = self._without_files(_parts(item.get("output"), f"{place}.output"))
            answered = {"tool_call_id": _text(item, "call_id", place), "content": _plain(said)}
            self._messages.append({"role": "tool"} | answered)
        elif kind == "reasoning":
            self._thought += _thought_of(item)
        elif kind == "item_reference":
            raise InvalidRequest(NOTHING_IS_STORED, param=place)
        else:
            raise InvalidRequest(f"Items of the type '{kind}' are not read here, but {_ITEMS}.", param=f"{place}.type")

    def messages(self) -> list[Message]:
        """What was read. Thoughts before the last question are left out: no template shows them, and some engines refuse
        them; those of the calls that are being answered now go along, since some ask for them."""
        users = [number for number, message in enumerate(self._messages) if message["role"] == "user"]
        for message in self._messages[: users[-1] if users else 0]:
            message.pop("reasoning_content", None)
        role = "\n\n".join(self._role)
        opening = [{"role": "system", "content": role}] if role else []
        self._put_files()
        unasked = [] if users else [{"role": "user", "content": ""}]
        return [*opening, *self._messages, *unasked]

    def _read_message(self, item: dict[str, Any], place: str) -> None:
        role = item.get("role")
        parts = _parts(item.get("content"), f"{place}.content")
        if role == "user":
            self._read_question(parts)
        elif role == "assistant":
            self._add_assistant("".join(part["text"] for part in _texts_only(parts, place)))
        elif role in ("system", "developer"):
            texts = _texts_only(self._without_files(parts), place)
            self._role += [part["text"] for part in texts if part["text"]]
        else:
            message = f"Invalid '{place}.role': give user, assistant, system or developer."
            raise InvalidRequest(message, param=f"{place}.role")

    def _read_question(self, parts: list[Part]) -> None:
        self._thought = ""
        said = self._without_files(parts)
        if said or not parts:
            self._put_files()
            self._messages.append({"role": "user", "content": _plain(said)})

    def _without_files(self, parts: list[Part]) -> list[Part]:
        """What is left of the parts when the files among them are set aside."""
        self._files += [part for part in parts if part["type"] == "file"]
        return [part for part in parts if part["type"] != "file"]

    def _put_files(self) -> None:
        """Files stand in a message of their own: so the question is one text, which every engine takes."""
        if self._files:
            self._messages.append({"role": "system", "content": self._files})
            self._files = []

    def _read_call(self, item: dict[str, Any], place: str) -> None:
        function = {"name": _text(item, "name", place), "arguments": _text(item, "arguments", place)}
        call = {"id": _text(item, "call_id", place), "type": "function", "function": function}
        last = self._messages[-1] if self._messages else {}
        if last.get("role") != "assistant":
            last = self._add_assistant(None)
        elif self._thought:
            last["reasoning_content"] = last.get("reasoning_content", "") + self._take_thought()
        last.setdefault("tool_calls", []).append(call)

    def _add_assistant(self, text: str | None) -> Message:
        message: Message = {"role": "assistant", "content": text}
        if self._thought:
            message["reasoning_content"] = self._take_thought()
        self._messages.append(message)
        return message

    def _take_thought(self) -> str:
        thought, self._thought = self._thought, ""
        return thought


def _thought_of(item: dict[str, Any]) -> str:
    """The text of a reasoning item; that of an encrypted one is nobody's but its maker's."""
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _parts(content: Any, place: str) -> list[Part]:
    """The parts of a content in chat's words."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise InvalidRequest(f"Invalid '{place}': a string or a list of parts is needed.", param=place)
    return [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]


def _part(part: Any, place: str) -> Part:
    """A part in chat's words. Parts that are not known go to the engine as they came."""
    if not isinstance(part, dict):
        raise InvalidRequest(f"Invalid '{place}': a part is an object with a 'type'.", param=place)
    kind = _text(part, "type", place)
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": _text(part, "text", place)}
    if kind == "refusal":
        return {"type": "text", "text": _text(part, "refusal", place)}
    if kind == "input_file":
        return _file(part, place)
    if kind == "input_image":
        return _image(part, place)
    return part


def _file(part: Part, place: str) -> Part:
    if part.get("file_url"):
        message = (
            "Files are not fetched from URLs: upload the file and name its id in 'file_id', or send it in 'file_data'."
        )
        raise InvalidRequest(message, param=f"{place}.file_url")
    file = {name: part[name] for name in ("file_id", "file_data", "filename") if part.get(name) is not None}
    if not file.keys() & {"file_id", "file_data"}:
        raise InvalidRequest("An input_file needs 'file_id' or 'file_data'.", param=place)
    return {"type": "file", "file": file}


def _image(part: Part, place: str) -> Part:
    if not part.get("image_url"):
        message = (
            "An input_image needs 'image_url', which may be a data URL. An uploaded file is read as an input_file."
        )
        raise InvalidRequest(message, param=place)
    image = {"url": _text(part, "image_url", place)}
    if part.get("detail"):
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}


def _texts_only(parts: list[Part], place: str) -> list[Part]:
    for part in parts:
        if part["type"] != "text":
            message = f"A part of the type '{part['type']}' can stand in a user's message only."
            raise InvalidRequest(message, param=f"{place}.content")
    return parts


def _plain(parts: list[Part]) -> str | list[Part]:
    """One text as a string, which every engine takes."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _text(value: dict[str, Any], name: str, place: str) -> str:
    """A field that must be a string."""
    text = value.get(name)
    if not isinstance(text, str):
        raise InvalidRequest(f"Invalid '{place}.{name}': a string is needed.", param=f"{place}.{name}")
    return text
