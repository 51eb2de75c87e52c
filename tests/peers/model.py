"""A language model small enough to make on the spot: two layers of seeded noise and a hand-made alphabet.

What it says is gibberish; what it costs is exact, and that is all the tests ask of it. About 0.8 MB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

CONTEXT = 2048
WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 64, 2, 4, 2, 128
VOCABULARY = 512
LETTERS = " etaoinshrdlucmfw"  # merged in pairs until the vocabulary is full
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each of the 256 bytes, in byte order."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(stand_ins)) for byte in range(256)]


def vocabulary() -> tuple[list[str], list[str]]:
    """Byte-level BPE: (tokens, merges). Two control tokens come last: begin and end of text."""
    alphabet = byte_alphabet()
    letters = [alphabet[ord(letter)] for letter in LETTERS]
    pairs = [(left, right) for left in letters for right in letters[1:]][: VOCABULARY - 2 - len(alphabet)]
    tokens = [*alphabet, *(left + right for left, right in pairs), "<s>", "</s>"]
    return tokens, [f"{left} {right}" for left, right in pairs]


def make_gguf(path: Path, seed: int = 1) -> Path:
    """Write the model to `path`; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.05, shape).astype(np.float32)

    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)

    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (len(tokens) - 2) + [TokenType.CONTROL] * 2)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_chat_template(CHAT_TEMPLATE)

    key_width = WIDTH // HEADS * KV_HEADS
    writer.add_tensor("token_embd.weight", noise(VOCABULARY, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("output.weight", noise(VOCABULARY, WIDTH))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(WIDTH, dtype=np.float32))
        writer.add_tensor(f"{block}.attn_q.weight", noise(WIDTH, WIDTH))
        writer.add_tensor(f"{block}.attn_k.weight", noise(key_width, WIDTH))
        writer.add_tensor(f"{block}.attn_v.weight", noise(key_width, WIDTH))
        writer.add_tensor(f"{block}.attn_output.weight", noise(WIDTH, WIDTH))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(WIDTH, dtype=np.float32))
        writer.add_tensor(f"{block}.ffn_gate.weight", noise(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}.ffn_up.weight", noise(FEED_FORWARD, WIDTH))
        writer.add_tensor(f"{block}.ffn_down.weight", noise(WIDTH, FEED_FORWARD))

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
