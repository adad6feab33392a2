"""What a sentence denies or forbids, clause by clause, and whether another sentence denies the same.

"Ne pas associer", "must not be combined", "à éviter" and "contraindicated" say the same; "not contraindicated" says the
opposite. "Without" and "sans" belong to the words after them alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails._concepts import concepts, weight_of
from guardrails._text import plain

_CLAUSE = re.compile(
    r"[;:()]|[,.](?!\d)|\s[–—-]\s|\b(?:mais|but|car|because|although|whereas|while|tandis qu\w*|alors qu\w*"
    r"|sauf|unless|"
    r"except|if|si|s'il|s'ils|when|lorsqu\w*|quand|and then|et ensuite)\b"
)
# A denied bound ("no more than", "ne dépasse pas") is a bound, which `_quantities` compares.
_BOUNDS = re.compile(
    r"\b(?:(?:no|not|never) (?:more|longer|later|less|fewer|earlier) than|(?:does|do|must|should|may|can"
    r"|shall) ?not exceed|"
    r"cannot exceed|without exceeding|(?:not|never) (?:\w+ ){0,2}(?:above|over|beyond|more than)|not before"
    r"|pas avant|not until|(?:not|never|pas|jamais) (?:\w+ ){0,4}(?:au-dela|beyond|plus longtemps)|(?:pas"
    r"|jamais) (?:\w+ ){0,4}(?:plus|moins) d[e'](?= ?\d| un| deux| trois| quatre| cinq| six)|n'exced\w+(?: pas)?|"
    r"(?:pas|jamais) (?:\w+ )?(?:plus|moins) d[e']|"
    r"(?:ne|n') ?(?:\w+ ){0,2}depass\w*(?: pas)?|sans (?:que [\w-]+ )?(?:puisse )?depasser|"
    r"(?:no one|nobody|personne n'?e?|never|jamais|not)(?: [\w']+){1,2} (?:for )?(?:longer|more|plus) (?:than|d[e']))"
)
_NOT = re.compile(
    r"\b(?:not(?! only)|cannot|never|neither|nor|none|nobody|nothing|no(?! longer than)|n't|hardly|"
    r"(?:ne|n')(?! (?:\w+ ){1,3}qu)(?: ?[\w-]+(?:'\w+)?){0,4}? ?(?:pas|plus|jamais|aucune?|rien|personne|ni|nullement)|"
    r"(?:ne|n') ?(?:peu\w+|saur\w+|cess\w+|os\w+)|pas|jamais|aucune?|nulle?ment|ni)\b|n't\b"
)
_FORBID = re.compile(
    r"\b(?:avoid\w*|evit\w+|contraindicat\w+|contre[- ]indi\w+|forbid\w*|forbidden|prohibit\w*|interdi\w+|banned|"
    r"deconseill\w+|proscri\w+|exclu(?:e|es|s|re|ded|des)?|unable|incapa\w+|impossib\w+|fail\w*|echec\w*|echou\w+|"
    r"optional|facultati\w+|unnecessary|inutile\w*|refus\w+|inappropriate|inadvisable|unsuitable|n'empech\w+)\b"
)
_WITHOUT = re.compile(r"\b(?:without|sans(?! que\b)|non(?=[ -]\w)|free of|en l'absence d[e']|in the absence of)\b")
_FIRST = re.compile(r"\b(?:before|avant|first|d'abord|until|jusqu|prior|prealable\w*|avec|with|seulement|only|qu')\b")
_POSTPOSED = re.compile(r"\b(?:is|are|be|was|were|been|est|sont|etre|soit|soient|reste|restent) (?:\w+ ){0,2}(?:a )?$")
_FEW = 6  # clauses; in a longer sentence the same word may be there twice
_OWN = 0.75  # share of the words
_ALMOST = 0.8  # of the best overlap
_SCOPE = 9  # words after "not" that it may concern
_ONLY = re.compile(r"\b(?:ne|n') ?(?:[\w-]+ ){1,3}qu[e']")
_EVEN_IF = re.compile(r"\b(?:even (?:if|when|without|on|with)|meme (?:si|en|sans|sur|avec|apres))\b")


@dataclass(frozen=True, slots=True)
class _Clause:
    denies: bool
    words: frozenset[str]
    scope: frozenset[str]  # what is denied, or all words where the denial follows them
    lacking: frozenset[str]  # what stands after "without"
    first: bool
    even: bool
    forbids: frozenset[str]  # "avoid" and its like
    negated: bool
    without: bool
    count: int  # of denials


@dataclass(frozen=True, slots=True)
class Denials:
    """The clauses of a sentence with what each denies; made by `denials`."""

    clauses: tuple[_Clause, ...]


def denials(text: str) -> Denials:
    """Reads what a sentence denies."""
    text = _BOUNDS.sub(" \\ ", plain(text))
    return Denials(tuple(_clause(piece) for piece in _CLAUSE.split(text) if piece and piece.strip()))


def _clause(text: str) -> _Clause:
    lacking: set[str] = set()
    for match in _WITHOUT.finditer(text) if "\\" not in text else ():  # "no longer than X without Y" wants Y
        lacking |= concepts(_after(text, match.end(), 4))
    rest = _WITHOUT.sub(" ", text)
    negation = _NOT.search(rest) if not _ONLY.search(rest) else None
    forbids = _FORBID.search(rest)
    words = concepts(rest)
    scope = words
    if forbids:
        before, after = rest[: forbids.start()], _after(rest, forbids.end(), _SCOPE)
        scope = concepts(before if _POSTPOSED.search(before) else after)
    elif negation:
        scope = concepts(_after(rest, negation.start(), _SCOPE + 3))
    if not scope:
        scope = words
    return _Clause(
        denies=bool(negation) != bool(forbids),
        words=words,
        scope=scope,
        lacking=frozenset(lacking),
        first=_FIRST.search(text) is not None,
        even=_EVEN_IF.search(text) is not None,
        forbids=concepts(forbids[0]) if forbids else frozenset(),
        negated=negation is not None,
        count=len(_NOT.findall(rest)) + len(_FORBID.findall(rest)),
        without=_WITHOUT.search(text) is not None,
    )


def _after(text: str, start: int, words: int) -> str:
    return " ".join(text[start:].split()[:words])


def contradict(said: Denials, given: Denials) -> bool:
    """Whether a sentence denies what a passage sentence says, or says what that denies."""
    return (
        any(_unfounded(clause, given.clauses) for clause in said.clauses)
        or any(_overturned(clause, said.clauses) for clause in given.clauses)
        or _lacking_differs(said.clauses, given.clauses)
        or any(_one_denial_less(clause, given.clauses) for clause in said.clauses)
        or any(
            one.forbids & other.forbids and one.negated != other.negated and len(given.clauses) <= _FEW
            for one in said.clauses
            for other in given.clauses
        )
    )


def _weight(words: frozenset[str]) -> float:
    return sum(weight_of(word) for word in words)


def _nearest(words: frozenset[str], among: Sequence[_Clause]) -> list[_Clause]:
    """The clauses that share most with some words, those that share almost as much among them."""
    shared = [_weight(words & (one.words | one.lacking)) for one in among]
    best = max(shared, default=0.0)
    return [one for one, weight in zip(among, shared, strict=True) if weight >= _ALMOST * best] if best > 0 else []


def _unfounded(clause: _Clause, given: Sequence[_Clause]) -> bool:
    """A denial of the answer to which no denial of the passage belongs."""
    if not clause.denies:
        return False
    if any(one.lacking & clause.scope for one in given if not one.denies):
        return False
    if any(one.denies and _same(clause, one) for one in given):
        return False
    return not any(one.denies for one in _nearest(clause.words, given))


def _one_denial_less(clause: _Clause, given: Sequence[_Clause]) -> bool:
    """Whether a clause is almost the passage's own, with one denial of several left out."""
    return any(
        other.count == 2 and clause.count == 1 and not clause.forbids and not other.forbids
        and _weight(clause.words & other.words) >= _OWN * max(_weight(clause.words), _weight(other.words))
        for other in given
    )  # fmt: skip


def _same(one: _Clause, other: _Clause) -> bool:
    """Whether two denials may be about the same."""
    shared = _weight(one.scope & other.scope)
    return shared > 0 and shared >= 0.5 * min(_weight(one.scope), _weight(other.scope))


def _overturned(clause: _Clause, said: Sequence[_Clause]) -> bool:
    """A denial of the passage whose words the answer says without denying them."""
    if not clause.denies or not clause.scope:
        return False
    spoken = frozenset().union(*(one.words for one in said))
    if any(one.denies and _same(one, clause) for one in said) or any(
        one.denies for one in _nearest(clause.words, said)
    ):
        return False
    if any(one.lacking & clause.lacking for one in said):
        return _weight(clause.scope & spoken) > 0  # "not X without Y" against "X without Y"
    if any(one.lacking & clause.scope for one in said):
        return False
    if clause.lacking and any(one.first for one in said) and not any(one.lacking for one in said):
        return False  # "not X without Y" is "Y before X"
    return _weight(clause.scope & spoken) >= 0.5 * _weight(clause.scope)


def _lacking_differs(said: Sequence[_Clause], given: Sequence[_Clause]) -> bool:
    """ "With a screen" against "without a screen", and the other way round."""
    has = frozenset().union(*(one.words for one in given))
    lacks = frozenset().union(*(one.lacking for one in given if not one.denies))
    denies = frozenset().union(*(one.scope for one in given if one.denies))
    for clause in said:
        if clause.lacking and clause.lacking & has and not clause.lacking & (lacks | denies):
            return True
        if clause.even:
            return True
    if not lacks or any(one.denies or one.without for one in said):
        return False
    spoken = frozenset().union(*(one.words for one in said))
    return bool(lacks) and lacks <= spoken
