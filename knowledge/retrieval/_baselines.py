"""Plain methods to compare with, on the same documents: BM25 over whole documents, meaning alone, and half and half of
both after bringing each question's scores to 0 to 1."""

import re
from collections import Counter, defaultdict
from math import log
from typing import Any

from knowledge._analysis import terms
from knowledge.indexing import _sync
from knowledge.models import Chunk, Embedding, Guideline
from knowledge.retrieval._measuring import Collection, Rankings

K1, B = 1.2, 0.75
_WORD = re.compile(r"\w+")


def baselines(collection: Collection, deep: int) -> dict[str, Rankings]:
    """For each method its rankings: "bm25" over words as they are, "bm25_stemmed" over stems, and where there is an
    embedder "dense" and "min_max" (half dense, half stemmed BM25)."""
    documents = collection.documents
    language = Counter(Guideline.objects.values_list("language", flat=True)).most_common(1)[0][0]
    plain = [_WORD.findall(f"{title} {text}".lower()) for _, title, text in documents]
    stems = [terms(f"{title}\n{text}", language) for _, title, text in documents]
    found: dict[str, Any] = {
        "bm25": _bm25(plain, [_WORD.findall(text.lower()) for text in collection.questions.values()]),
        "bm25_stemmed": _bm25(stems, [terms(text, language) for text in collection.questions.values()]),
    }
    dense = _dense(collection)
    if dense is not None:
        found["dense"] = dense
        found["min_max"] = 0.5 * _levelled(dense) + 0.5 * _levelled(found["bm25_stemmed"])
    return {name: _rankings(collection, matrix, deep) for name, matrix in found.items()}


def _rankings(collection: Collection, matrix: Any, deep: int) -> Rankings:
    import numpy as np

    names = [number for number, _, _ in collection.documents]
    order = np.argsort(-matrix, axis=1, kind="stable")[:, :deep]
    return {
        question: [names[at] for at in row if matrix[number, at] > matrix[number].min()]
        for number, (question, row) in enumerate(zip(collection.questions, order, strict=True))
    }


def _bm25(documents: list[list[str]], questions: list[list[str]]) -> Any:
    import numpy as np

    usual = sum(map(len, documents)) / len(documents) or 1.0
    holders: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, words in enumerate(documents):
        norm = K1 * (1 - B + B * len(words) / usual)
        for word, times in Counter(words).items():
            holders[word].append((number, times * (K1 + 1) / (times + norm)))
    matrix = np.zeros((len(questions), len(documents)), np.float32)
    for row, words in enumerate(questions):
        for word in set(words):
            having = holders.get(word, [])
            rarity = log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
            for number, weight in having:
                matrix[row, number] += rarity * weight
    return matrix


def _dense(collection: Collection) -> Any:
    import numpy as np

    embedder = _sync.embedder_now()
    if embedder is None:
        return None
    places = {number: place for place, (number, _, _) in enumerate(collection.documents)}
    owners = dict(Chunk.objects.values_list("pk", "version__guideline__publisher"))
    asked = np.stack([np.frombuffer(embedder.embed_query(text), "<f4") for text in collection.questions.values()])
    matrix = np.full((len(asked), len(places)), -1.0, np.float32)
    stored = Embedding.objects.filter(embedder=embedder.id).values_list("chunk", "vector")
    for chunk, vector in stored.iterator(chunk_size=2000):
        place = places[owners[chunk]]
        matrix[:, place] = np.maximum(matrix[:, place], asked @ np.frombuffer(bytes(vector), "<f4"))
    return matrix


def _levelled(matrix: Any) -> Any:
    low, high = matrix.min(axis=1, keepdims=True), matrix.max(axis=1, keepdims=True)
    return (matrix - low) / (high - low).clip(1e-9)
