"""Makes the weights of a tiny model, so that the real embedded engine can be tested without a download.

A Llama of two layers with random weights. It says nonsense in printable characters, and it never ends by itself: every
answer goes on until a limit or a grammar cuts it, which makes token counts foretellable.
"""

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, INNER = 64, 4, 2, 128
NEVER = -50.0
WORDS = [f"▁{word}" for word in "tide rope lamp oil sea wind salt boat net star gull fog reef dune cove bell".split()]
CALL = "<tool_call>"
"""One token, as models that call tools have it. It is never said unless the request's `logit_bias` asks for it."""
CALL_ID = 3 + 256 + len(WORDS)
END_ID = 2

PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
TOOLS = r"""{%- if tools %}{{ '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}
    {{- '<tools>' }}{%- for tool in tools %}{{ '\n' + (tool | tojson) }}{% endfor %}
    {{- '\n</tools>\n<tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}
        {%- if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}
        {%- if m.content %}{{ m.content }}{% endif %}
        {%- for call in m.tool_calls or [] %}
            {{- '\n<tool_call>{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
            {{- '}</tool_call>' }}
        {%- endfor %}{{ '<|im_end|>\n' }}
    {%- elif m.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}
    {%- elif m.role == 'user' or not loop.first %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
"""In the manner of Qwen's templates, so that llama.cpp finds out how tools are called."""
THINKING = (
    TOOLS
    + r"""
{%- if add_generation_prompt %}{{ '<think>\n\n</think>\n\n' if enable_thinking is false else '<think>\n' }}{% endif %}"""
)
"""The same, for a model that thinks first unless it is told not to."""


def write_tiny_gguf(path: Path, context_tokens: int = 65_536, template: str = PLAIN) -> Path:
    """Write a model of some 400 kB, with this chat template."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer)
    writer.add_chat_template(template)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    special = ["<unk>", "<s>", "</s>"]
    bytes_of_text = [f"<0x{value:02X}>" for value in range(256)]
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    types += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * len(WORDS)
    types += [gguf.TokenType.USER_DEFINED]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in [*special, *bytes_of_text, *WORDS, CALL]])
    writer.add_token_scores([0.0] * len(types))
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)  # it would stand between a grammar and the text it begins with


def _add_weights(writer: gguf.GGUFWriter) -> None:
    random = np.random.default_rng(1495)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * 0.05).astype(np.float32)

    tokens = 3 + 256 + len(WORDS)
    embeddings = random.standard_normal((tokens, WIDTH)).astype(np.float32)
    embeddings[:, 0] = 4.0  # the same for every token: what the output layer tells words from all else by
    output = random.standard_normal((tokens, WIDTH)).astype(np.float32)
    output[:, 0] = 0.0
    output[: tokens - len(WORDS), 0] = NEVER
    call = np.zeros((1, WIDTH), dtype=np.float32)
    call[0, 0] = NEVER
    ones = np.ones(WIDTH, dtype=np.float32)
    writer.add_tensor("token_embd.weight", np.vstack([embeddings, embeddings[-1:]]))
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", np.vstack([output, call]))
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(WIDTH, WIDTH))
        for name, rows, columns in (("ffn_gate", INNER, WIDTH), ("ffn_up", INNER, WIDTH), ("ffn_down", WIDTH, INNER)):
            writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(rows, columns))
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
