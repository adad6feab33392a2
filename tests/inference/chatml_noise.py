"""A Llama with random weights and a chatml vocabulary: it says noise, so what is sensible in its output was made so."""

from pathlib import Path

import gguf
import numpy as np

HIDDEN, HEADS, FEED_FORWARD = 32, 2, 64


def write_chatml_noise(tiny_gpt_oss: Path, out: Path) -> Path:
    """Write the model to `out`, with the vocabulary of the tiny gpt-oss and the markers of chatml."""
    source = gguf.GGUFReader(tiny_gpt_oss)
    tokens = source.fields["tokenizer.ggml.tokens"].contents()
    markers = {"<|start|>": "<|im_start|>", "<|end|>": "<|im_end|>"}
    tokens = [markers.get(token, token) for token in tokens]
    random = np.random.default_rng(0)
    w = gguf.GGUFWriter(out, "llama")
    w.add_context_length(2048)
    w.add_block_count(1)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FEED_FORWARD)
    w.add_head_count(HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-4o")
    w.add_token_list(tokens)
    w.add_token_types(source.fields["tokenizer.ggml.token_type"].contents())
    w.add_token_merges(source.fields["tokenizer.ggml.merges"].contents())
    w.add_eos_token_id(tokens.index("<|im_end|>"))
    w.add_bos_token_id(tokens.index("<|startoftext|>"))
    w.add_add_bos_token(False)
    shapes = {"token_embd": (len(tokens), HIDDEN), "output": (len(tokens), HIDDEN)}
    shapes |= {f"blk.0.attn_{name}": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (FEED_FORWARD, HIDDEN), "blk.0.ffn_up": (FEED_FORWARD, HIDDEN)}
    shapes |= {"blk.0.ffn_down": (HIDDEN, FEED_FORWARD)}
    for name, shape in shapes.items():
        w.add_tensor(f"{name}.weight", random.standard_normal(shape, np.float32) * 0.1)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        w.add_tensor(f"{name}.weight", np.ones(HIDDEN, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return out
