"""Trains the classifier: `python -m guardrails.training.train --out FOLDER [--hold B,C] [--predictions FILE]`.

The encoder stays as published; rank-16 changes to its matrices (LoRA, Hu et al. 2021) and one linear layer over
[first vector, mean, maximum] are learnt. With `--hold` the writers named are left out and what the classifier says of
their messages is written to FILE, for thresholds and for the numbers of docs/guardrails.md. Needs torch; about 12 ms
a message and epoch on two cores.
"""

import argparse
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from guardrails._classifier import EARLIER_TOKENS, PASSAGE_TOKENS, earlier_text
from guardrails._encoder import BEGIN, END, FOLDER, LAYERS, PREFIX, WIDTH, embed, unpacked
from guardrails._grounding import window
from guardrails._normalise import visible
from guardrails.training.corpus import FOLDER as CORPUS
from guardrails.training.corpus import (
    LABELS,
    PAIR_LABELS,
    SENTENCE_LABELS,
    Example,
    beside_others,
    load,
    varied,
    without_writers,
)

RANK = 16
SCALE = 2.0
HEADS = 12
LONGEST = 224
BATCH = 32
PAD = 1


class Layer(nn.Module):
    """One layer of the encoder, its matrices frozen, with low-rank changes."""

    def __init__(self, weights: Any, number: int) -> None:
        super().__init__()
        self.frozen: dict[str, torch.Tensor] = {}
        for name in ("q", "k", "v", "ao", "fi", "fo"):
            matrix = torch.from_numpy(unpacked(weights[f"{number}.{name}.w"]))
            self.frozen[name] = matrix.bfloat16()  # twice as fast, and no worse: they came from 4 bits
            self.frozen[f"{name}.bias"] = torch.from_numpy(weights[f"{number}.{name}.b"].copy())
            rows, columns = matrix.shape
            self.register_parameter(f"{name}_a", nn.Parameter(torch.randn(RANK, columns) / math.sqrt(columns)))
            self.register_parameter(f"{name}_b", nn.Parameter(torch.zeros(rows, RANK)))
        for norm in ("aln", "oln"):
            for kind in "wb":
                self.frozen[f"{norm}.{kind}"] = torch.from_numpy(weights[f"{number}.{norm}.{kind}"].copy())

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = (x @ getattr(self, f"{name}_a").T) @ getattr(self, f"{name}_b").T
        straight = nn.functional.linear(x.bfloat16(), self.frozen[name]).float()
        return straight + self.frozen[f"{name}.bias"] + change * SCALE

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), self.frozen[f"{name}.w"], self.frozen[f"{name}.b"], 1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        def heads(name: str) -> torch.Tensor:
            return self._linear(name, x).view(*x.shape[:2], HEADS, -1).transpose(1, 2)

        seen = nn.functional.scaled_dot_product_attention(heads("q"), heads("k"), heads("v"), mask[:, None, None, :])
        seen = self._linear("ao", seen.transpose(1, 2).reshape(x.shape))
        x = self._norm("aln", x + seen)
        inner = self._linear("fo", nn.functional.gelu(self._linear("fi", x)))
        return self._norm("oln", x + inner)


class Reader(nn.Module):
    """The encoder with its changes, and the layer that tells the categories apart."""

    def __init__(self, weights: Any, labels: Sequence[str]) -> None:
        super().__init__()
        self._words = weights["words"]
        self._positions = torch.from_numpy(weights["positions"].astype(np.float32) + weights["type"])
        self._scale, self._shift = torch.from_numpy(weights["ln.w"]), torch.from_numpy(weights["ln.b"])
        self.layers = nn.ModuleList(Layer(weights, number) for number in range(LAYERS))
        self.head = nn.Linear(3 * WIDTH, len(labels))
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, ids: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Logits; `ids` (messages, pieces) padded with 1, `own` marks the pieces of the message itself."""
        distinct, places = torch.unique(ids, return_inverse=True)
        words = torch.from_numpy(unpacked(self._words[distinct.numpy()]))[places]
        x = nn.functional.layer_norm(words + self._positions[: ids.shape[1]], (WIDTH,), self._scale, self._shift, 1e-12)
        mask = ids != PAD
        for layer in self.layers:
            x = layer(x, mask)
        share = own.unsqueeze(-1).float()
        mean = (x * share).sum(1) / share.sum(1)
        most = x.masked_fill(share == 0, -1e4).max(1).values
        features = torch.cat([x[:, 0], mean, most], 1)
        return self.head(nn.functional.dropout(features, 0.1, self.training))  # type: ignore[no-any-return]


class Batches:
    """Turns examples into tensors, the way `_classifier` reads messages."""

    def __init__(self) -> None:
        import gzip

        import tokenizers

        vocabulary = gzip.decompress((FOLDER / "vocabulary.json.gz").read_bytes()).decode()
        self._tokenizer = tokenizers.Tokenizer.from_str(vocabulary)

    def encode(self, example: Example) -> tuple[list[int], int]:
        """The pieces of a message with its history, and how many of them are its own."""

        def pieces(text: str) -> list[int]:
            return self._tokenizer.encode(text, add_special_tokens=False).ids

        own = pieces(PREFIX + visible(example.text))
        if len(own) > LONGEST:
            own = own[: LONGEST // 2] + own[-LONGEST // 2 :]
        ids = [BEGIN, *own, END]
        if example.label in PAIR_LABELS:
            return [*ids, END, *pieces(visible(example.history[0]))[:PASSAGE_TOKENS], END], len(own)
        if example.history:
            ids += [END, *pieces(earlier_text(example.history))[-EARLIER_TOKENS:], END]
        return ids, len(own)

    def tensors(self, encoded: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(ids) for ids, _ in encoded)
        padded = torch.full((len(encoded), width), PAD)
        own = torch.zeros((len(encoded), width), dtype=torch.bool)
        for row, (ids, length) in enumerate(encoded):
            padded[row, : len(ids)] = torch.tensor(ids)
            own[row, 1 : 1 + length] = True
        return padded, own


def train(
    examples: Sequence[Example],
    replayed: Sequence[Example] = (),
    *,
    out: Path,
    share: float = 1.0,
    epochs: int,
    rate: float,
    seed: int,
    start: Path | None = None,
) -> Reader:
    """Learns from the examples, from what was learnt before where `start` is given; prints the loss of each epoch and
    writes to `out` what was learnt so far. Of `replayed` each epoch sees another share, so that it is not forgotten."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    labels = next(those for those in (LABELS, SENTENCE_LABELS, PAIR_LABELS) if examples[0].label in those)
    others: dict[str, list[Example]] = defaultdict(list)
    for example in (*examples, *replayed):
        if not example.history:
            others[example.label].append(example)
    batches = Batches()
    with np.load(FOLDER / "weights.npz", allow_pickle=False) as file:
        reader = Reader(dict(file), labels)
    if start is not None:
        resume(reader, start)
    changes = [value for name, value in reader.named_parameters() if not name.startswith("head")]
    groups = [{"params": changes, "lr": rate}, {"params": list(reader.head.parameters()), "lr": 1e-3}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    drawn = round(len(replayed) * share)
    steps = epochs * math.ceil((len(examples) + drawn) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / (0.06 * steps)) * max(0.02, 1 - step / steps)
    )
    for epoch in range(epochs):
        reader.train()
        seen = [*examples, *chance.sample(replayed, drawn)]
        if labels == LABELS:
            seen = [varied(example, others, chance) for example in seen]
        elif labels == PAIR_LABELS:
            seen = [beside_others(example, examples, chance) for example in seen]
        encoded = [batches.encode(example) for example in seen]
        total = 0.0
        for batch in _alike(encoded, chance):
            wanted = torch.tensor([labels.index(seen[index].label) for index in batch])
            logits = reader(*batches.tensors([encoded[index] for index in batch]))
            loss = nn.functional.cross_entropy(logits, wanted, label_smoothing=0.03)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(seen):.4f}", flush=True)
        save(reader, out)
    return reader.eval()


def _alike(encoded: Sequence[tuple[list[int], int]], chance: random.Random) -> list[list[int]]:
    """Batches of examples of like length, in random order."""
    order = list(range(len(encoded)))
    chance.shuffle(order)
    found: list[list[int]] = []
    for start in range(0, len(order), BATCH * 20):
        group = sorted(order[start : start + BATCH * 20], key=lambda index: len(encoded[index][0]))
        found += [group[at : at + BATCH] for at in range(0, len(group), BATCH)]
    chance.shuffle(found)
    return found


def save(reader: Reader, folder: Path) -> None:
    """Writes adapter.npz, in half precision, to `folder`."""
    arrays = {"head.w": reader.head.weight.detach().numpy(), "head.b": reader.head.bias.detach().numpy()}
    for number, layer in enumerate(reader.layers):
        for name, value in layer.named_parameters():
            matrix, factor = name.split("_")
            scale = SCALE if factor == "b" else 1.0
            arrays[f"{number}.{matrix}.{factor}"] = (value.detach() * scale).numpy().astype(np.float16)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "adapter.npz", **arrays)  # type: ignore[arg-type]


def resume(reader: Reader, folder: Path) -> None:
    """Gives a reader what `save` wrote."""
    with np.load(folder / "adapter.npz", allow_pickle=False) as arrays, torch.no_grad():
        reader.head.weight.copy_(torch.from_numpy(arrays["head.w"]))
        reader.head.bias.copy_(torch.from_numpy(arrays["head.b"]))
        for number, layer in enumerate(reader.layers):
            for name, value in layer.named_parameters():
                matrix, factor = name.split("_")
                scale = SCALE if factor == "b" else 1.0
                value.copy_(torch.from_numpy(arrays[f"{number}.{matrix}.{factor}"].astype(np.float32)) / scale)


def predictions(reader: Reader, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """What the reader says of each example, as rows for `guardrails.training.judge`."""
    batches = Batches()
    encoded = [batches.encode(example) for example in examples]
    order = sorted(range(len(examples)), key=lambda index: len(encoded[index][0]))
    rows: list[dict[str, Any]] = [{} for _ in examples]
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            logits = reader(*batches.tensors([encoded[index] for index in batch]))
            for index, row in zip(batch, logits.tolist(), strict=True):
                example = examples[index]
                rows[index] = {
                    **{"text": example.text, "lang": example.lang, "label": example.label, "subtype": example.subtype},
                    **{"writer": example.writer, "history": example.history, "logits": [round(x, 4) for x in row]},
                }
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for adapter.npz")
    parser.add_argument("--hold", default="", help="writers left out, with commas between")
    parser.add_argument("--predictions", type=Path, help="JSONL file for what it says of the writers left out")
    parser.add_argument("--corpus", choices=("messages", "sentences", "pairs"), default="messages")
    parser.add_argument("--start", type=Path, help="folder of an adapter.npz to go on from")
    parser.add_argument("--new", default="", help="with --share: writers whose examples every epoch sees all of")
    parser.add_argument("--share", type=float, default=1.0, help="share of the others that each epoch sees")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    examples = load(CORPUS if options.corpus == "messages" else CORPUS / options.corpus)
    if options.corpus == "pairs":
        examples = [replace(one, history=(window(one.text, one.history[0], embed),)) for one in examples]
    kept, held = without_writers(examples, options.hold.split(",") if options.hold else ())
    print(f"{len(kept)} examples to learn from, {len(held)} held out", flush=True)
    replayed: list[Example] = []
    if options.new:
        replayed, kept = without_writers(kept, options.new.split(","))
        print(f"{len(kept)} new ones, {len(replayed)} of which each epoch sees {options.share:.0%}", flush=True)
    reader = train(
        kept,
        replayed,
        share=options.share,
        out=options.out,
        epochs=options.epochs,
        rate=options.rate,
        seed=options.seed,
        start=options.start,
    )
    if options.predictions and held:
        rows = predictions(reader, held)
        options.predictions.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    main()
