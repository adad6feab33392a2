"""How well retrieval does on a collection of documents, questions and judgements in the layout of BEIR (corpus.jsonl,
queries.jsonl, qrels/test.tsv): taken into an empty library and asked with the code that answers questions.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil, log2
from pathlib import Path
from statistics import quantiles
from typing import Any

from django.db import transaction
from django.utils import timezone

from knowledge._analysis import guess_language
from knowledge._errors import KnowledgeError
from knowledge.indexing import _sync
from knowledge.ingestion._reading import cut_up
from knowledge.models import Chunk, Guideline, GuidelineVersion, Page
from knowledge.parsing import ParsedDocument, ParsedPage
from knowledge.retrieval._search import retrieve

DEEP = 20  # documents of each ranking that are looked at
AT_ONCE = 100  # documents
DRAWS = 2000  # of the questions, for an interval
Rankings = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents (id, title, text), questions by id, and for each question how relevant which documents are."""

    documents: tuple[tuple[str, str, str], ...]
    questions: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


def read_collection(folder: Path) -> Collection:
    """A collection from its folder; questions without a relevant document are left out, as trec_eval does. Raises
    KnowledgeError (code "collection") where it is not one."""
    try:
        documents = tuple(
            (str(row["_id"]), str(row.get("title") or ""), str(row.get("text") or ""))
            for row in _rows(folder / "corpus.jsonl")
        )
        texts = {str(row["_id"]): str(row["text"]) for row in _rows(folder / "queries.jsonl")}
        relevant = _judgements(folder / "qrels" / "test.tsv")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KnowledgeError("collection", folder=str(folder), reason=f"{type(error).__name__}: {error}") from error
    asked = {number: text for number, text in texts.items() if relevant.get(number)}
    if not documents or not asked:
        raise KnowledgeError("collection", folder=str(folder), reason="0")
    return Collection(documents, asked, relevant)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) < 3 or fields[-1] == "score":  # the first line names the columns
                continue
            if (grade := int(float(fields[-1]))) > 0:
                found.setdefault(fields[0], {})[fields[-2]] = grade
    return found


def take_in(collection: Collection, on_progress: Callable[[int, int], None]) -> None:
    """Put the documents into this library, which must be empty: read, cut, embedded and indexed as guidelines are."""
    if Guideline.objects.exists():
        raise KnowledgeError("collection_library")
    sample = "\n".join(text for _, _, text in collection.documents[:200])
    main = guess_language(sample[:100_000], default="en")
    done = 0
    for start in range(0, len(collection.documents), AT_ONCE):
        batch = collection.documents[start : start + AT_ONCE]
        with transaction.atomic():
            versions = [_version(number, title, text, main) for number, title, text in batch]
            Guideline.objects.bulk_create([version.guideline for version in versions])
            GuidelineVersion.objects.bulk_create(versions)
            Page.objects.bulk_create(
                [Page(version=v, number=1, text=_plain(text)) for v, (_, _, text) in zip(versions, batch, strict=True)]
            )
            for version, (_, _, text) in zip(versions, batch, strict=True):
                page = ParsedPage(number=None, label="", text=_plain(text))
                Chunk.objects.bulk_create(cut_up(version, ParsedDocument("", (page,)), version.language))
        if embedder := _sync.embedder_now():
            _sync.embed(list(Chunk.objects.filter(version__in=versions).select_related("version__guideline")), embedder)
        done += len(batch)
        on_progress(done, len(collection.documents))
    _sync.sync(_sync.open_index())


def _plain(text: str) -> str:
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)


def _version(number: str, title: str, text: str, main: str) -> GuidelineVersion:
    language = guess_language(text[:5000], default=main)
    now = timezone.now()
    return GuidelineVersion(
        guideline=Guideline(title=title[:300], publisher=number[:200], language=language),
        number=1,
        filename=f"{number}.txt"[:255],
        media_type="text/plain",
        sha256=sha256(number.encode()).hexdigest(),
        size=len(text.encode()),
        language=language,
        state=GuidelineVersion.State.EFFECTIVE,
        effective_from=now,
        ingestion=GuidelineVersion.Ingestion.INDEXED,
        indexed_at=now,
    )


def ask(collection: Collection) -> tuple[Rankings, list[float]]:
    """For each question the documents in the order of their best chunks, and how many milliseconds it took."""
    from knowledge.retrieval._search import rank

    names = dict(Guideline.objects.values_list("pk", "publisher"))
    rankings, taken = {}, []
    for number, text in collection.questions.items():
        begun = time.perf_counter()
        found = rank(text)
        taken.append((time.perf_counter() - begun) * 1000)
        rankings[number] = list(dict.fromkeys(names[one.chunk.version.guideline_id] for one in found))[:DEEP]
    return rankings, taken


def scores(rankings: Rankings, relevant: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """nDCG@10 by the formula of trec_eval, and recall, means over all questions."""
    rows = [(ranking, relevant[number]) for number, ranking in rankings.items()]
    return {
        "ndcg@10": round(sum(ndcg(ranking, grades) for ranking, grades in rows) / len(rows), 4),
        "recall@5": round(sum(_recall(ranking[:5], grades) for ranking, grades in rows) / len(rows), 4),
        "recall@20": round(sum(_recall(ranking[:20], grades) for ranking, grades in rows) / len(rows), 4),
    }


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Gain of a ranking, each grade divided by the logarithm of its place, as a share of the best that could be."""
    gain = sum(grades.get(one, 0) / log2(place + 2) for place, one in enumerate(ranking[:depth]))
    best = sum(one / log2(place + 2) for place, one in enumerate(sorted(grades.values(), reverse=True)[:depth]))
    return gain / best if best else 0.0


def _recall(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    return len(set(ranking) & set(grades)) / len(grades)


def ahead(ours: Rankings, theirs: Rankings, relevant: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """By how much our nDCG@10 is above another method's on the same questions, and between which values 90 % of the
    differences lie when as many questions are drawn from these again and again (paired bootstrap). An interval with 0
    in it says that the questions are too few to tell."""
    import numpy as np

    gains = np.array([ndcg(ours[one], relevant[one]) - ndcg(theirs.get(one, []), relevant[one]) for one in ours])
    draws = np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))
    low, high = np.quantile(gains[draws].mean(axis=1), [0.05, 0.95])
    return {"ahead": round(float(gains.mean()), 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def coverage(collection: Collection) -> dict[str, float]:
    """How often a question counts as covered: asked of all documents ("answered"), and asked while those that answer it
    are switched off ("unanswered": wrong each time, on topics as near as the collection has them).

    "unanswered_at_90" is the latter at the confidence that 90 % of the questions reach when they are answered: it says
    how well the confidence tells the two apart, wherever the threshold is.
    """
    found, lacking = [], []
    for number, text in collection.questions.items():
        found.append(retrieve(text))
        answering = Guideline.objects.filter(publisher__in=list(collection.relevant[number]))
        answering.update(enabled=False)
        try:
            lacking.append(retrieve(text))
        finally:
            answering.update(enabled=True)
    reached = sorted((one.confidence for one in found), reverse=True)[ceil(0.9 * len(found)) - 1]
    return {
        "answered": _share(one.covered for one in found),
        "unanswered": _share(one.covered for one in lacking),
        "unanswered_at_90": _share(one.confidence >= reached for one in lacking),
    }


def _share(true: Iterable[bool]) -> float:
    known = list(true)
    return round(sum(known) / len(known), 4)


def measure(
    collection: Collection, on_progress: Callable[[int, int], None], compare: bool = False, covered: bool = False
) -> dict[str, Any]:
    """Take a collection into the empty library of this process, ask all its questions, and say how good the rankings
    were and how long it took. With `compare` also what plain methods make of the same chunks, with `covered` how often
    questions count as covered (`coverage`)."""
    begun = time.perf_counter()
    take_in(collection, on_progress)
    indexed = time.perf_counter() - begun
    ask(Collection(collection.documents, dict(list(collection.questions.items())[:3]), collection.relevant))  # warm up
    rankings, taken = ask(collection)
    cuts = quantiles(taken, n=20) if len(taken) > 1 else taken * 19
    result: dict[str, Any] = scores(rankings, collection.relevant) | {
        "index_seconds": round(indexed, 1),
        "query_ms_p50": round(cuts[9], 1),
        "query_ms_p95": round(cuts[18], 1),
        "documents": len(collection.documents),
        "chunks": Chunk.objects.count(),
        "questions": len(collection.questions),
    }
    if compare:
        from knowledge.retrieval._baselines import baselines

        result["compare"] = {
            name: scores(found, collection.relevant) | ahead(rankings, found, collection.relevant)
            for name, found in baselines(collection, DEEP).items()
        }
    if covered:
        result["covered"] = coverage(collection)
    return result
