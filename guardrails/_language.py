"""Which language a message is in: the commonest little words first, a statistical model only where they are silent."""

import re
import unicodedata
from collections.abc import Sequence

_LITTLE_WORDS = {
    "fr": "je tu il elle on nous vous ils elles le la les un une des du de au aux et ou mais donc est suis es sont "
    "ai as avons avez ont etait etais sera ete ce cette ces cet mon ma mes ton ta tes son sa ses notre votre leur "
    "qui que quoi dont ou quand comment pourquoi quel quelle quels quelles avec sans pour par dans sur sous chez "
    "vers entre ne pas plus jamais rien aucun aucune tres trop aussi bien y en lui se me te si oui non merci "
    "bonjour c d j l m n qu s faire fait faut peut dois doit chui jai jsuis jveux envie patiente soin soins apres "
    "avant depuis pendant lors selon afin",
    "en": "i you he she we they it the a an of to and or but so is am are was were be been being have has had do "
    "does did will would can could should may might must my your his her our their its this that these those who "
    "what when where why how which with without for from in on at by about into not no never any some very too "
    "also if then than there here me him us them as yes thanks hello dont cant im ive wanna gonna after before "
    "patient's since during while",
    "es": "el los las una unos y pero porque es soy eres son esta estoy estan fue ser con sin para por como cuando "
    "donde quien muy mas nunca nada yo mi tu su nos usted ustedes ella ellos del al quiero puedo hola gracias que",
    "de": "ich du er sie wir ihr der die das ein eine einen einem und oder aber ist bin sind war nicht kein keine mit "
    "ohne fur von zu im am auf bei wie was wer wann warum sehr auch noch nur mich dich sich mir dir mein will kann",
    "it": "io lei noi voi loro il lo gli una uno e o ma perche sono sei siamo non con senza per di da del della che "
    "chi come quando dove molto mai niente mio mia suo sua questo questa voglio posso ciao grazie mi ti si",
    "pt": "eu voce ele ela nos eles o os as um uma e ou mas porque sou esta estou nao com sem para por de do da dos "
    "que quem como quando onde muito nunca nada meu minha seu sua isto quero posso ola obrigado me se",
    "nl": "ik jij je hij zij wij jullie de het een en of maar want is ben zijn was niet geen met zonder voor van te in "
    "op bij hoe wat wie wanneer waarom heel ook nog maar mij jou mijn wil kan wel naar",
}
_LITTLE = {language: frozenset(words.split()) for language, words in _LITTLE_WORDS.items()}
_WORDS = re.compile(r"[^\W\d_]+")
_LOOKED_AT = 600  # characters: enough to tell a language, however long the message


def _plain_words(text: str) -> list[str]:
    text = unicodedata.normalize("NFD", text[:_LOOKED_AT].casefold())
    return _WORDS.findall("".join(character for character in text if not 0x300 <= ord(character) <= 0x36F))


def stop_word_language(text: str, among: Sequence[str] = ("fr", "en")) -> str | None:
    """The language whose little words are the commonest in the text; None where none or two are equally common."""
    words = _plain_words(text)
    counts = sorted(
        ((sum(word in _LITTLE[language] for word in words), language) for language in among if language in _LITTLE),
        reverse=True,
    )
    if not counts or counts[0][0] == 0 or (len(counts) > 1 and counts[0][0] == counts[1][0]):
        return None
    return counts[0][1]


def detect_language(text: str, among: Sequence[str] = ("fr", "en")) -> str:
    """The likeliest of the languages `among` (ISO 639-1), the first of them where there is nothing to go by.

    Short messages without accents are what clinicians type, so the little words decide; py3langid is loaded
    (some 100 ms once, numpy) only where they do not.
    """
    if not among:
        raise ValueError("among must name at least one language.")
    found = stop_word_language(text, among)
    if found is not None:
        return found
    if sum(len(word) for word in _plain_words(text)) < 4:
        return among[0]
    import py3langid

    ranked = py3langid.rank(text[:_LOOKED_AT])
    return next((str(language) for language, _ in ranked if language in among), among[0])
