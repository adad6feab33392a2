"""Constrained decoding: grammars (llama.cpp's GBNF) that bound what a model can say."""

import json
from collections.abc import Sequence


def quotation_grammar(sentences: Sequence[str]) -> str:
    """A grammar whose texts are the first of these sentences and any of those after it, in their order.

    The model chooses which follow; it cannot say anything else. Raises ValueError when there is none to choose from.
    """
    if not sentences:
        raise ValueError("A quotation needs at least one sentence to choose from.")
    last = len(sentences) - 1
    rules = ["root ::= quote0"]
    for number, sentence in enumerate(sentences):
        literal = json.dumps(sentence, ensure_ascii=False)
        then = f' (" " from{number + 1})?' if number < last else ""
        skip = f" | from{number + 1}" if number < last else ""
        if number:
            rules.append(f"from{number} ::= quote{number}{skip}")
        rules.append(f"quote{number} ::= {literal}{then}")
    return "\n".join(rules)
