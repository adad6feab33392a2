#!/usr/bin/env python3
"""Write tiny-llama.gguf: a real Llama with a SentencePiece vocabulary, of a kind that the engine ctransformers loads.
Deterministic: the same file each time.

Nobody trained it. Attention and feed-forward weights are zero, so what a token leads to is its own row of the output
matrix: a chain of words with two ways to go on in places. After any prompt it says one of two sentences and ends; after
the word " forever" it says "and again" without end.

    make_tiny_llama.py OUT.gguf
"""

import sys
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize

WIDTH, HEADS, LAYERS = 320, 10, 1
LIKELY = 0.7  # times the square root of WIDTH: how far ahead the next word is, in logits
WORDS = ["According", "to", "the", "guidelines", ":", "rest", "sleep", "is", "planned", "early", ".", "forever", "and"]
WORDS += ["again"]
CHAINS = (
    ("▁According", ("▁to",)),
    ("▁to", ("▁the",)),
    ("▁the", ("▁guidelines",)),
    ("▁guidelines", ("▁:",)),
    ("▁:", ("▁rest", "▁sleep")),
    ("▁rest", ("▁is",)),
    ("▁sleep", ("▁is",)),
    ("▁is", ("▁planned",)),
    ("▁planned", ("▁early", "▁.")),
    ("▁early", ("▁.",)),
    ("▁.", ("</s>",)),
    ("▁forever", ("▁and",)),
    ("▁and", ("▁again", "▁and")),
    ("▁again", ("▁and",)),
)


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Texts, scores and types of the tokens: three special ones, the bytes, the words. SentencePiece joins what it has
    tokens for, two by two, so that a word of a prompt needs its beginnings too: only "forever" has them."""
    texts, types = ["<unk>", "<s>", "</s>"], [2, 3, 3]
    texts += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [6] * 256
    pieces = ["▁"]
    for word in WORDS:
        whole = f"▁{word}"
        pieces += [whole[:end] for end in range(2, len(whole) + 1)] if word == "forever" else [whole]
    for piece in dict.fromkeys(pieces):
        texts.append(piece)
        types.append(1)
    while len(texts) < WIDTH:
        texts.append(f"<unused{len(texts)}>")
        types.append(5)
    return texts[:WIDTH], [0.0] * 3 + [-1e4] * 256 + [float(len(text)) for text in texts[259:WIDTH]], types[:WIDTH]


def weights(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The table of tokens (each its own direction), and the output matrix that says what follows."""
    at = {text: number for number, text in enumerate(texts)}
    output = np.zeros((WIDTH, WIDTH), dtype=np.float32)  # a row: a token that may follow; a column: the token before it
    output[at["▁According"], :] = LIKELY
    for before, after in CHAINS:
        output[:, at[before]] = 0
        for one in after:
            output[at[one], at[before]] = LIKELY
    return np.eye(WIDTH, dtype=np.float32), output


def main(path: Path) -> None:
    texts, scores, types = vocabulary()
    table, output = weights(texts)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-llama")
    writer.add_license("mit")
    writer.add_file_type(7)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(32)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    ones = np.ones(WIDTH, dtype=np.float32)
    square, narrow = np.zeros((WIDTH, WIDTH), dtype=np.float32), np.zeros((32, WIDTH), dtype=np.float32)
    tensors = {"token_embd.weight": table, "output.weight": output}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensors[f"blk.0.{name}.weight"] = square
    tensors |= {
        "blk.0.ffn_gate.weight": narrow,
        "blk.0.ffn_up.weight": narrow,
        "blk.0.ffn_down.weight": narrow.T.copy(),
    }
    for name, values in tensors.items():
        packed = quantize(values, GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
