"""From what a person typed to plain tokens that rules can read.

Rules are written once, for tidy lower-case words without accents. Everything that hides a word from them is undone
here: compatibility forms, zero-width and bidirectional marks, look-alike letters of other scripts, digits and
symbols for letters, letters spelled out with spaces, lengthened letters, contractions, text-speak and misspellings.
Each token remembers where it stood, so that a verdict can show the words themselves.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 40_000  # a frame has at most 32 KiB; NFKC may lengthen it, and nothing longer is ever screened whole

_PRINTS_LIKE = {  # letters of Cyrillic, Greek and phonetic alphabets that print like a Latin one
    "a": "аαɑᴀ",
    "b": "вʙ",
    "c": "сᴄ",
    "d": "ԁᴅđ",
    "e": "еεᴇ",
    "f": "ꜰ",
    "g": "ɡɢ",
    "h": "һнʜħ",
    "i": "іιɩıɪ",
    "j": "јᴊ",
    "k": "кκᴋ",
    "l": "ӏʟł",
    "m": "мᴍ",
    "n": "пɴ",
    "o": "оοᴏø",
    "p": "рρᴘ",
    "q": "ԛ",
    "r": "гʀ",
    "s": "ѕꜱ",
    "t": "тτᴛŧ",
    "u": "υᴜ",
    "v": "νᴠ",
    "w": "ԝωᴡ",
    "x": "хχ",
    "y": "уʏ",
    "z": "ᴢ",
}
_LOOKALIKES = {ord(other): latin for latin, others in _PRINTS_LIKE.items() for other in others}
_QUOTES = str.maketrans(
    {
        **dict.fromkeys("«»“”„‟‹›〝〞＂「」『』", '"'),
        **dict.fromkeys("’‘‛ʼʹ′`´＇", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "œ": "oe",
        "æ": "ae",
        "ß": "ss",
        "、": ",",
        "。": ".",
        "？": "?",
        "！": "!",
        "؟": "?",
        "،": ",",
        "।": ".",
    }
)
_LEET = str.maketrans("013457@$!|€", "oieastasiie")
_LEET_L = str.maketrans("013457@$!|€", "oleastaslle")
_WORD = re.compile(
    # a word, with symbols for letters and apostrophes inside; else a mark that carries meaning. Hyphens, asterisks
    # and pictures carry none here, and hide words.
    r"[@$]?[^\W_]+(?:[@$!|*€]+[^\W_]+){0,12}(?:'[^\W_]+){0,3}|[\"':;,.!?()\n\[\]/%=&+]",
)
_SPELLED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .*\-_·•]{1,2}){3,60}[^\W\d_](?![^\W_])")
_RUN = re.compile(r"([^\W\d_])\1{2,}")
_LATIN = re.compile(r"[a-z]")
_OTHER_SCRIPT = re.compile(r"[Ѐ-ӿͰ-Ͽ]")
_SENTENCE_END = frozenset(".!?;\n")


@dataclass(frozen=True, slots=True)
class Token:
    """A canonical word or punctuation mark and its place in the cleaned text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, or a window of a very long one: `text` is its tokens joined by spaces, with a space at both ends,
    and `offsets` the place in `text` at which each token begins."""

    text: str
    raw: str
    first: int
    tokens: tuple[Token, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words that normalisation knows.

    `expansions` maps up to three tokens to the tokens that they stand for, `keywords` are the words that
    misspellings are mended to, `real_words` those that look like a misspelling and are not.
    """

    expansions: Mapping[tuple[str, ...], tuple[str, ...]]
    keywords: frozenset[str]
    real_words: frozenset[str]
    deletions: Mapping[str, tuple[str, ...]]


def make_lexicon(expansions: Mapping[str, str], keywords: Iterable[str], real_words: Iterable[str]) -> Lexicon:
    """Prepares the lexicon: misspellings are looked up by what is left when one letter is dropped."""
    keys = frozenset(keywords)
    deletions: dict[str, list[str]] = {}
    for word in sorted(keys):
        if len(word) >= 5:
            for index in range(len(word)):
                deletions.setdefault(word[:index] + word[index + 1 :], []).append(word)
            deletions.setdefault(word, []).append(word)
    return Lexicon(
        expansions={tuple(key.split()): tuple(value.split()) for key, value in expansions.items()},
        keywords=keys,
        real_words=frozenset(real_words),
        deletions={key: tuple(value) for key, value in deletions.items()},
    )


def clean(text: str) -> str:
    """The text with one form for each character: NFKC, no invisible characters, lower case, no accents on Latin
    letters, plain quotation marks, look-alike letters made Latin where the text is Latin."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS].translate(_QUOTES))[:MAX_CHARACTERS].casefold()
    kept: list[str] = []
    for character in text.translate(_QUOTES):
        code = ord(character)
        if code < 0x80:
            kept.append(character if code >= 0x20 or character in "\n\t" else "\n" if code == 0x0D else " ")
        elif 0x1F150 <= code <= 0x1F189:  # white letters on black discs and squares
            kept.append(chr(ord("a") + (code - 0x1F150) % 0x20 % 26))
        elif _invisible(character, code):
            continue
        elif code < 0x250 or 0x1E00 <= code <= 0x1EFF:
            kept.append(unicodedata.normalize("NFD", character)[0])
        else:
            kept.append(" " if character.isspace() else character)
    plain = re.sub(r"\n\s*\n", "\n", "".join(kept))  # one line break is as good as a thousand
    if plain.isascii():
        return plain
    if len(_LATIN.findall(plain)) >= len(_OTHER_SCRIPT.findall(plain)):
        return plain.translate(_LOOKALIKES)
    return re.sub(r"[^\W_]+", _latin_if_mixed, plain)


def visible(text: str) -> str:
    """The text as a reader sees it, for the classifier: case, accents and punctuation stay; invisible characters go,
    look-alike letters become Latin, letters set apart come together, one letter repeated many times becomes two."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS])[:MAX_CHARACTERS]
    kept = "".join(
        "\n" if character == "\r" else " " if character.isspace() and character != "\n" else character
        for character in text
        if not _invisible(character, ord(character)) or character in "\u0301\u0300\u0302\u0308\u0327"
    )
    if not kept.isascii():
        if len(_LATIN.findall(kept.casefold())) >= len(_OTHER_SCRIPT.findall(kept)):
            kept = kept.translate(_LOOKALIKES)
        else:
            kept = re.sub(r"[^\W_]+", _latin_if_mixed, kept)
    kept = _SPELLED.sub(lambda run: re.sub(r"[^\w]", "", run[0]), kept)
    kept = _RUN.sub(r"\1\1", kept)
    return re.sub(r"\n\s*\n", "\n", re.sub(r"[ \t]{2,}", " ", kept)).strip()


def _invisible(character: str, code: int) -> bool:
    """Combining marks, format characters, variation selectors and fillers: nothing of them is seen as a letter."""
    return (
        0x300 <= code <= 0x36F
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or code in {0x115F, 0x1160, 0x3164, 0xFFA0, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F}
        or unicodedata.category(character) in {"Cf", "Cs", "Me"}
    )


def _latin_if_mixed(word: re.Match[str]) -> str:
    return word[0].translate(_LOOKALIKES) if _LATIN.search(word[0]) else word[0]


def tokenise(cleaned: str, lexicon: Lexicon) -> list[Token]:
    """Canonical tokens of a cleaned text."""
    spelled = {match.start(): match for match in _SPELLED.finditer(cleaned)}
    rough: list[Token] = []
    position = 0
    while position < len(cleaned):
        joined = spelled.get(position)
        if joined is not None:
            words = _spelled_words(joined[0], lexicon)
            if words:
                rough.extend(Token(word, joined.start(), joined.end()) for word in words)
                position = joined.end()
                continue
        match = _WORD.search(cleaned, position)
        if match is None:
            break
        later = next((start for start in _between(spelled, position, match.start())), None)
        if later is not None and later > position:
            position = later
            continue
        rough.extend(_split(match, lexicon))
        position = match.end()
    return _expand(_expand(rough, lexicon), lexicon)  # twice: an expansion may complete another


def _between(spelled: Mapping[int, re.Match[str]], low: int, high: int) -> list[int]:
    return [start for start in range(low + 1, high + 1) if start in spelled] if spelled else []


def _spelled_words(run: str, lexicon: Lexicon) -> list[str]:
    """The key words that letters set apart spell ("k i l l m e"), or nothing where they spell none."""
    letters = re.sub(r"[^a-z]", "", run)
    best: list[list[str] | None] = [[]] + [None] * len(letters)
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - 14), end):
            before = best[start]
            word = letters[start:end]
            if before is not None and (word in lexicon.keywords) and (best[end] is None):
                best[end] = [*before, word]
    found = best[-1]
    return found if found and any(len(word) > 3 for word in found) else []


def _split(match: re.Match[str], lexicon: Lexicon) -> list[Token]:
    """One rough match as tokens: contractions opened, letters behind digits and symbols restored."""
    text, start, end = match[0], match.start(), match.end()
    if not text[0].isalnum() and len(text) == 1:
        return [Token(text, start, end)]
    tokens: list[Token] = []
    for part in _contraction(text):
        word = _mend(part, lexicon)
        if word.isalnum():
            tokens.append(Token(word, start, end))
        else:  # symbols that stood for no letter: "stop!now"
            for piece in re.finditer(r"[^\W_]+|[^\w\s]", part):
                tokens.append(Token(_mend(piece[0], lexicon), start + piece.start(), start + piece.end()))
    return tokens


_ENDINGS = {"m": "am", "ve": "have", "ll": "will", "re": "are", "d": "would"}
_NOT = {"can't": "can", "won't": "will", "ain't": "is", "shan't": "shall"}


def _contraction(text: str) -> list[str]:
    if "'" not in text:
        return [text]
    if text.endswith("n't"):
        return [_NOT.get(text, text[:-3]), "not"]
    parts = text.split("'")
    if len(parts) == 2 and parts[1] in _ENDINGS and len(parts[0]) > 1 - (parts[0] == "i"):
        return [parts[0], _ENDINGS[parts[1]]]
    return parts


def _mend(word: str, lexicon: Lexicon) -> str:
    """The key word that a token stands for, or the token itself."""
    if word in lexicon.keywords or word in lexicon.real_words or len(word) > 40:
        return word
    if not word.isalpha():
        for table in (_LEET, _LEET_L):
            plain = word.translate(table).replace("*", "")
            if plain in lexicon.keywords and not word.isdigit():
                return plain
        if "*" in word and (starred := _starred(word, lexicon)):
            return starred
        return word
    if _RUN.search(word):
        for keep in (r"\1\1", r"\1"):
            shorter = _RUN.sub(keep, word)
            if shorter in lexicon.keywords or (shorter,) in lexicon.expansions:
                return shorter
        word = _RUN.sub(r"\1", word)
    return _near(word, lexicon) if len(word) >= 5 else word


def _starred(word: str, lexicon: Lexicon) -> str | None:
    pattern = re.compile("[a-z]".join(re.escape(part) for part in word.split("*")))
    return next((key for key in sorted(lexicon.keywords) if len(key) == len(word) and pattern.fullmatch(key)), None)


def _near(word: str, lexicon: Lexicon) -> str:
    """The one key word a single slip away (a letter too many, too few, wrong or swapped; the first letter right)."""
    forms = [word, *(word[:index] + word[index + 1 :] for index in range(len(word)))] if len(word) <= 20 else [word]
    for form in forms:
        for key in lexicon.deletions.get(form, ()):
            if key[0] == word[0] and _one_slip(word, key):
                return key
    return word


def _one_slip(word: str, key: str) -> bool:
    if abs(len(word) - len(key)) > 1:
        return False
    if len(word) == len(key):
        wrong = [index for index in range(len(key)) if word[index] != key[index]]
        if len(wrong) == 1:
            # an ending such as -s, -e, -r is grammar more often than a slip
            return len(key) >= 6
        return (
            len(wrong) == 2
            and wrong[1] == wrong[0] + 1
            and word[wrong[0]] == key[wrong[1]]
            and word[wrong[1]] == key[wrong[0]]
        )
    longer, shorter = (word, key) if len(word) > len(key) else (key, word)
    return any(longer[:index] + longer[index + 1 :] == shorter for index in range(len(longer)))


def _expand(tokens: Sequence[Token], lexicon: Lexicon) -> list[Token]:
    """Text-speak and abbreviations written out ("jveux" as "je veux", "kms" as "kill myself")."""
    result: list[Token] = []
    index = 0
    while index < len(tokens):
        for size in (3, 2, 1):
            words = tuple(token.text for token in tokens[index : index + size])
            replacement = lexicon.expansions.get(words) if len(words) == size else None
            if replacement is not None:
                start, end = tokens[index].start, tokens[index + size - 1].end
                result.extend(Token(word, start, end) for word in replacement)
                index += size
                break
        else:
            result.append(tokens[index])
            index += 1
    return result


def segment(cleaned: str, tokens: Sequence[Token], *, window: int = 70, overlap: int = 20) -> list[Segment]:
    """Sentences; one of more than `window` tokens becomes windows that overlap."""
    segments: list[Segment] = []
    begin = 0
    for index in range(len(tokens) + 1):
        last = index == len(tokens)
        if not last and not _ends(tokens, index):
            continue
        stop = index if last else index + 1
        while begin < stop:
            end = min(begin + window, stop)
            if any(token.text[0].isalnum() for token in tokens[begin:end]):
                segments.append(_make_segment(cleaned, tokens[begin:end], begin))
            if end == stop:
                break
            begin = end - overlap
        begin = stop
    return segments


def _ends(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    if token.text not in _SENTENCE_END:
        return False
    if token.text == ".":  # a decimal, or an abbreviation of one letter ("m.", "p.")
        previous = tokens[index - 1].text if index else ""
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if following is not None and following.start == token.end and following.text.isalnum():
            return False
        return not (len(previous) == 1 and previous.isalpha() and previous not in "iay")
    return True


def _make_segment(cleaned: str, tokens: Sequence[Token], first: int) -> Segment:
    offsets: list[int] = []
    length = 1
    for token in tokens:
        offsets.append(length)
        length += len(token.text) + 1
    text = " " + " ".join(token.text.replace("\n", ".") for token in tokens) + " "
    raw = cleaned[tokens[0].start : tokens[-1].end] if tokens else ""
    return Segment(text=text, raw=raw, first=first, tokens=tuple(tokens), offsets=tuple(offsets))


def quoted(tokens: Sequence[Token]) -> list[bool]:
    """For each token, whether it stands between quotation marks that are closed."""
    inside = [False] * len(tokens)
    for mark in ('"', "'"):
        opened: int | None = None
        for index, token in enumerate(tokens):
            if token.text == "\n":
                opened = None
            elif token.text == mark:
                if opened is None:
                    opened = index
                else:
                    inside[opened + 1 : index] = [True] * (index - opened - 1)
                    opened = None
    return inside
