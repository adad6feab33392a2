"""Full-text search over Chunk.terms: FTS5 on SQLite, tsvector on PostgreSQL find the candidates, one BM25 scores them
on both."""

from collections import Counter
from dataclasses import dataclass
from math import log

from django.db import connection

from knowledge._analysis import query_terms, stemmer_language

K1, B, LENGTH = 1.2, 0.4, 80.0  # LENGTH: terms of a usual chunk; chunks are cut to one size, so it need not be counted

_INDEXED = """
    FROM {table} JOIN knowledge_guidelineversion v ON v.id = c.version_id WHERE v.ingestion = 'indexed' AND {match}
"""


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A question as stems, in each language that the library may hold, with the weight of each stem in the library."""

    text: str
    languages: tuple[str, ...]
    weights: dict[str, float]

    def terms(self, language: str) -> tuple[str, ...]:
        """The stems to look for in a chunk of `language`."""
        return query_terms(self.text, stemmer_language(language))

    def score(self, terms: str, language: str) -> float:
        """BM25 of a chunk, divided by what a chunk with all the words of the question could reach: 0 to 1."""
        wanted = self.terms(language)
        best = sum(self.weights.get(term, 0.0) for term in wanted) * (K1 + 1)
        if not best:
            return 0.0
        words = terms.split()
        counts = Counter(words)
        norm = K1 * (1 - B + B * len(words) / LENGTH)
        return (
            sum(self.weights.get(t, 0.0) * counts[t] * (K1 + 1) / (counts[t] + norm) for t in wanted if counts[t])
            / best
        )


def prepare(text: str, languages: tuple[str, ...], chunks: int) -> LexicalQuery:
    """Analyse a question; `chunks` is how many chunks the library has."""
    stems = sorted({stem for language in languages for stem in query_terms(text, stemmer_language(language))})[:64]
    weights = {
        stem: log(1 + (chunks - count + 0.5) / (count + 0.5)) for stem, count in _frequencies(stems, chunks).items()
    }
    return LexicalQuery(text, languages, weights)


def _frequencies(stems: list[str], chunks: int) -> dict[str, int]:
    """In how many chunks each stem stands."""
    if connection.vendor == "sqlite":
        sql = "SELECT count(*) FROM knowledge_chunk_fts WHERE knowledge_chunk_fts MATCH %s"
        quoted = {stem: f'"{stem}"' for stem in stems}
    else:
        sql = "SELECT count(*) FROM knowledge_chunk WHERE to_tsvector('simple', terms) @@ to_tsquery('simple', %s)"
        quoted = {stem: f"'{stem}'" for stem in stems}
    found = {}
    with connection.cursor() as cursor:
        for stem, query in quoted.items():
            cursor.execute(sql, [query])
            found[stem] = min(int(cursor.fetchone()[0]), chunks)
    return found


def candidates(query: LexicalQuery, limit: int) -> list[int]:
    """The indexed chunks with the most of the question's words in them, at most `limit`."""
    stems = [stem for stem in query.weights if stem]
    if not stems:
        return []
    if connection.vendor == "sqlite":
        sql = (
            "SELECT c.id"
            + _INDEXED.format(
                table="knowledge_chunk_fts f JOIN knowledge_chunk c ON c.id = f.rowid",
                match="knowledge_chunk_fts MATCH %s",
            )
            + "ORDER BY bm25(knowledge_chunk_fts) LIMIT %s"
        )
        parameters: list[str | int] = [" OR ".join(f'"{stem}"' for stem in stems), limit]
    else:
        vector, wanted = "to_tsvector('simple', c.terms)", " | ".join(f"'{stem}'" for stem in stems)
        sql = (
            "SELECT c.id"
            + _INDEXED.format(table="knowledge_chunk c", match=f"{vector} @@ to_tsquery('simple', %s)")
            + f"ORDER BY ts_rank({vector}, to_tsquery('simple', %s)) DESC LIMIT %s"
        )
        # PostgreSQL's rank knows nothing of how rare a word is, so more candidates go to BM25.
        parameters = [wanted, wanted, limit * 4]
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [int(row[0]) for row in cursor.fetchall()]
