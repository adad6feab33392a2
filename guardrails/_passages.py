"""Passages are data: whatever in a document speaks to the model instead of the reader is taken out before the prompt.

Guidelines are full of imperatives ("Do not prescribe", "Ask the patient", "Écrire dans le dossier"). What gives an
injection away is not that it commands but whom and what it commands: rules and earlier instructions to set aside, a
role to take, words to put into the answer, a prompt to show.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from guardrails._normalise import clean
from guardrails._sentences import sentences
from guardrails._text import word_count

_INVISIBLE = {"Cf", "Cc", "Co", "Cs"}
_TOKENS = re.compile(
    r"<\|[^|<>\n]{0,40}\|>|</?think>|</?s>|<</?SYS>>|\[/?INST\]|<(?:start|end)_of_turn>|```|~~~|"
    r"</?(?:system|assistant|user|instructions?|prompt|tool|developer)\b[^>\n]{0,60}>",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"<!--.{0,4000}?(?:-->|$)|<(script|style)\b.{0,4000}?(?:</\1>|$)", re.IGNORECASE | re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]\n]{0,200})\]\([^)\n]{0,400}\)")
_LINK = re.compile(r"\[([^\]\n]{0,200})\]\([^)\n]{0,400}\)")
_BLOB = re.compile(r"(?<![\w/.])(?=[\w+/]{0,60}[0-9+/A-Z][a-z]|[0-9a-fA-F]{40})[A-Za-z0-9+/]{28,4000}={0,2}(?![\w/.])")
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|&#x?[0-9a-fA-F]{2,6};|%[0-9A-F]{2}){6,400}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]{1,2}){4,60}\w(?!\w)")
_ROLE = re.compile(
    r"^\W{0,6}(?:system|assistant|developer|user|human|ai|ia|bot|model|systeme|utilisateur|modele)\W{0,3}[:>]",
    re.IGNORECASE,
)
_SAY = (
    r"(?:say|write|reply|respond|answer|output|print|repeat|display|state|reveal|show|translate|echo|type"
    r"|return|generate|produce|"
    r"tell|dis|dites|dire|ecri\w{1,4}|repond\w{1,3}|affich\w{1,3}|repet\w{1,3}|imprim\w{1,3}|recopi\w{1,3}"
    r"|revel\w{1,3}|"
    r"montr\w{1,3}|tradui\w{1,4}|genere\w?|renvo\w{1,4}|enonce\w?|ecrire|repondre|afficher|repeter|reveler)"
)
_ME = (
    r"(?:assistants?|chatbots?|bots?|llms?|gpt\w*|chatgpt|claude|language models?|modeles? de langage|ai|ia"
    r"|a\.i\.|i\.a\.|"
    r"intelligence artificielle|artificial intelligence|the model|le modele|this model|ce modele|agent conversationnel)"
)
_ANSWER = r"(?:answers?|repl(?:y|ies)|responses?|output|outputs|completion|reponses?|sortie|reply|message final)"
_YOUR = r"(?:your|ta|tes|ton|votre|vos|the|every|each|all|any|toute|toutes|chaque|la|les|tes|final)"
_PATTERNS = (
    # setting rules aside
    r"\b(?:ignor\w*|disregard\w*|forget|override|overrule|overwrite|bypass|skip|drop|discard|oubli\w{1,3}"
    r"|contourn\w{1,3}|"
    r"outrepass\w{1,3}|annul\w{1,3}|supprim\w{1,3}|desactiv\w{1,3}|disable|turn off|stop following"
    r"|do not follow|don't follow|"
    r"never follow|cease|tenir compte|tiens pas compte|tenez pas compte|tiens plus compte|tenez plus compte"
    r"|fais abstraction|"
    r"faites abstraction|passe outre|passez outre|ne suis (?:pas|plus)|ne suivez (?:pas|plus)|ne respect\w+ "
    r"(?:pas|plus)|"
    r"laisse\w? de cote|mets de cote|mettez de cote|set aside)\b.{0,60}?\b(?:instructions?|prompts?|rules?|regles?|"
    r"consignes?|previous\w*|precedent\w*|prior|above|preceding|earlier|ci-dessus|qui precede|plus haut"
    r"|guardrails?|garde-fous?|"
    r"filters?|filtres?|safety|passages|context\w*|everything|directives?(?! anticipees)|restrictions?"
    r"|limitations?|told|"
    r"avertissements?|securite du systeme|the other documents|autres documents|programming|programmation)\b",
    # a prompt to show
    r"\b(?:system|initial|hidden|secret|internal|developer) (?:prompts?|instructions?|messages?)\b|\bprompts? "
    r"(?:systeme|initial|"
    r"cache)|\b(?:consignes?|instructions?) (?:systeme|cachees?|secretes?|internes|initiales)\b|\b(?:your|tes"
    r"|vos) (?:own )?"
    r"(?:instructions?|prompts?|consignes?|guidelines|system|configuration|training|rules|regles)\b",
    # a role to take
    r"\b(?:you are (?:now|no longer|a pirate|an? (?:unrestricted|helpful|evil))|from now on|act as (?:an?|if"
    r"|the|though)|pretend (?:to|that|you)|"
    r"play the role|role-?play|tu es (?:maintenant|desormais|a present|un)|vous etes (?:maintenant|desormais"
    r"|a present)|"
    r"a partir de maintenant|a compter de maintenant|desormais,? (?:tu|vous|repond|reponds)|fais comme si"
    r"|faites comme si|"
    r"agis comme|agissez comme|comporte-toi|comportez-vous comme|joue le role|jouez le role|prends le role"
    r"|developer mode|mode (?:developpeur|debug|"
    r"admin|dieu)|god mode|debug mode|admin mode|jailbreak\w*|do anything now|sudo|override code|new persona"
    r"|nouvelle personnalite)\b",
    # the model spoken to or of
    rf"\b(?:to|for|attention|dear|hey|hello|note to|pour|cher|chere|bonjour|a l'attention d\w|a l'intention d\w"
    rf"|as an?|en tant qu\w*|"
    rf"you,? the|toi,? l|vous,? l|if you are an?|si tu es une?|si vous etes une?|any|every|tout"
    rf"|toute)\b.{{0,12}}?\b{_ME}\b",
    rf"\b{_ME}\b.{{0,30}}?\b(?:must|should|shall|has to|is to|will|needs? to|please|doit|devra|devez|dois"
    rf"|est tenue?|veuillez|instruct\w*|"
    rf"reading this|lisant ceci|qui lit)\b",
    rf"^\W*{_ME}\W{{1,3}}",
    # words for the answer
    rf"\b(?:in|at the (?:end|start|beginning|top) of|dans|a la fin de|au debut de|en tete de|avec|with|begin"
    rf"|start|end|finish|preface|commenc\w{{1,3}}|"
    rf"termin\w{{1,3}}|finis\w*|debut\w{{1,3}}|conclu\w*|prefix|suffix|close|open|replace|remplac\w{{1,3}}"
    rf"|sign)\W{{1,3}}{_YOUR} (?:\w+ )?{_ANSWER}\b",
    rf"\b(?:add|append|include|insert|put|mention|cite|ajout\w{{1,3}}|inser\w{{1,4}}|inclu\w{{1,4}}"
    rf"|mentionn\w{{1,3}}|mets|mettez|place\w?|glisse\w?)\b.{{0,40}}?"
    rf"\b(?:this link|the following (?:link|sentence|phrase|word|text|url|number|code|line)|the (?:link|sentence"
    rf"|phrase|word|text|url|code) |ce lien|le lien|la phrase|le mot|le texte|le code|"
    rf"cette phrase|ce texte|le numero|{_ANSWER}|ce qui suit|la mention)\b",
    rf"(?:^\W*|\b(?:please|now|then|and|must|should|just|only|always|instead|simply|to|maintenant|puis|et|doit"
    rf"|dois|devez|simplement|seulement|"
    rf"toujours|plutot|veuillez|juste|merci de|de|also|first|next"
    rf"|d'abord)\W+){_SAY}\b[- ]?(?:\w+ ){{0,4}}?(?:\W{{0,2}}[\"':]|only\b|exactly\b|"
    rf"with\b(?! (?:whom|which)\b)|nothing\b|"
    rf"the words?\b|the (?:following|phrase|sentence|text|string)\b|verbatim|word for word|in (?:capitals?"
    rf"|french|english|pirate|base64|uppercase|json|rhyme)|"
    rf"that the user|uniquement\b|seulement\b|exactement\b|par (?:le|la|un|une|oui|non|[\"'])|le mots?\b"
    rf"|la phrase\b|le texte\b|ceci\b|ce qui suit|"
    rf"mot pour mot|mot a mot|en (?:majuscules|lettres capitales|anglais|francais|pirate|vers|base64|rimes)"
    rf"|rien d'autre|simplement\b|toujours\b|always\b|this\b|les mots\b)",
    rf"\b(?:the|this|your|each|every) users?\b.{{0,50}}?\b(?:{_SAY}|that|their|his|to|for|password|data)\b"
    rf"|\b{_SAY}\b.{{0,20}}?\b(?:the|this|your) users?\b|"
    rf"\bl'utilisat(?:eur|rice)\b|\b(?:aux?|les?|votre|ton|cet|cette) utilisat(?:eur|rice)s?\b|\b(?:ask|give"
    rf"|send|advise|inform|convince) (?:the|this|your) (?:user|reader|clinician asking)\b|"
    rf"\b(?:conseille|dis|dites|demande|demandez|recommande) au lecteur\b",
    r"\b(?:do not|don't|never|ne) (?:\w+ )?(?:cite|mention|quote|use|refer to|warn|refuse|citez|cite"
    r"|mentionne\w?|utilise\w?|refuse\w?|"
    r"avertis\w*) (?:pas |plus |jamais )?(?:the |any |les |aux |des |de |la |le )?(?:passages?|guidelines?"
    r"|sources?|recommandations|hotlines?|documents?|"
    r"user|utilisateur|numeros? d'aide|citations?)\b",
    # a frame broken out of
    r"\b(?:new|updated|revised|additional|special|important|urgent|real|actual|nouvelles?|nouveau|vraies?|speciales?) "
    r"(?:system )?(?:instructions?|rules|task|prompt|consignes?|regles|tache|directives?)\b(?! anticipees)\W",
    r"\b(?:end|fin|begin|start|debut) (?:of|des?|du|de la|de) (?:the )?(?:documents?|passages?|context\w*"
    r"|prompt|system|instructions?|consignes?|guidelines?|extraits?)\b",
    r"^\W*(?:#{1,6} ?)?(?:instructions?|prompt|task|consignes?|tache|override|command|commande|system message"
    r"|message systeme)\W*:",
    r"\b(?:execute|run|decode|decipher|obey|comply with|follow|execut\w{1,3}|decod\w{1,3}|obei\w*|suis|suivez) "
    r"(?:\w+ ){0,3}?(?:base64|commands?|code|script|"
    r"commandes?|this instruction|these instructions|cette (?:instruction|consigne)|ces (?:instructions"
    r"|consignes)|ordres?|below)\b",
    r"\bjavascript:|\b(?:instead of|rather than|au lieu de|plutot que de?) (?:answering|replying|responding"
    r"|repondre)\b",
    rf"^\W*(?:system|assistant|user|developer|systeme|utilisateur)\W+{_SAY}\b",
    r"\b(?:consignes?|instructions?|regles?|rules) (?:importantes?|speciales?|nouvelles?|urgentes?|suivantes?)\W",
    # the same in German, Spanish, Italian, Portuguese, Dutch: rules set aside, words for the answer
    r"\b(?:ignorier\w*|vergiss|vergessen sie|missacht\w*|ignor[aeoi]\w{0,3}|olvid[aeo]\w{0,3}|dimentic\w+|esque[cç]\w+|"
    r"desconsider\w+|negeer|vergeet)\b.{0,60}?\b(?:(?:vorherig\w+|bisherig\w+|obig\w+|vorangegangen\w+|alle) "
    r"(?:\w+ )?(?:anweisung\w*|regeln)|(?:instrucciones|reglas|istruzioni|regole|instrucoes|regras|instructies|regels) "
    r"(?:\w+ )?(?:anterior\w*|previ[ao]\w*|precedent\w*|acima)|(?:tus|sus|todas las|le tue|tutte le|todas as|suas|"
    r"eerdere|vorige|alle|bovenstaande) (?:\w+ )?(?:instrucciones|reglas|istruzioni|regole|instrucoes|regras"
    r"|instructies|regels))\b",
    r"\b(?:antworten? (?:sie )?(?:nur|immer|ausschliesslich|stets)|schreiben? (?:sie )?(?:nur|immer)|"
    r"(?:responde|responda|escribe|escriba|contesta) (?:solo|solamente|unicamente|siempre)|"
    r"(?:rispondi|scrivi) (?:solo|soltanto|sempre)|(?:responda|escreva|responde|escreve) (?:apenas|somente|so|sempre)|"
    r"antwoord (?:alleen|altijd|uitsluitend))\b",
)
_INJECTION = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS))
_SHOUTED = re.compile(
    rf"(?:^|[.!?:;,\n]\s*|\b(?:and|then|now|please|et|puis|only|just"
    rf"|must) ){_SAY}\W{{1,3}}(?:\w+\W){{0,3}}?[A-Z0-9_-]{{4,}}\b",
    re.IGNORECASE,
)
_CUT_INTO = 4  # pieces that one instruction may have been cut into
_SHORT_PIECE = 120  # characters
_CAPITALS = re.compile(r"\b[A-Z][A-Z0-9_-]{3,}\b")

_ENOUGH_WORDS = 8  # of a sentence about which the classifier may overrule a pattern
_CERTAINLY_NOT = 0.011


@dataclass(frozen=True, slots=True)
class Neutralised:
    """A passage that holds nothing but words for a reader, and what was taken out of it."""

    text: str
    removed: tuple[str, ...]


@lru_cache(maxsize=1024)
def neutralise(text: str) -> Neutralised:
    """Takes out what speaks to a model: special tokens, role markers, hidden characters, comments, encoded blobs and
    sentences that give it instructions. Links and images keep their words. Everything else stays as it is."""
    removed: list[str] = []

    def out(match: re.Match[str]) -> str:
        removed.append(match[0])
        return "\n"

    plain = _visible(text)
    for pattern in (_COMMENT, _ESCAPES, _TOKENS):
        plain = pattern.sub(out, plain)  # a line break: what follows begins anew and is read for itself
    plain = _LINK.sub(r"\1", _IMAGE.sub(r"\1", plain))
    plain = _BLOB.sub(out, plain)
    kept, pieces = [], _pieces(plain)
    orders = _orders(pieces)
    for at, piece in enumerate(pieces):
        if at in orders:
            removed.append(piece.strip())
            if not piece.endswith("\n"):
                continue
            kept.append("\n")
        else:
            kept.append(piece)
    return Neutralised("".join(kept) if removed else plain, tuple(removed))


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(one for one in text if one in "\n\t" or unicodedata.category(one) not in _INVISIBLE)


def _orders(pieces: Sequence[str]) -> set[int]:
    """The places of the sentences that give instructions to a model, alone or together with their neighbours."""
    alone = [(_instructs(piece) and not _ordinary(piece)) or _planted(piece) for piece in pieces]
    found = {at for at, order in enumerate(alone) if order}
    # one that ends in a colon: what follows is its text
    found |= {at for at in range(1, len(pieces)) if alone[at - 1] and pieces[at - 1].rstrip().endswith(":")}
    for at in range(len(pieces)):
        for size in range(2, _CUT_INTO + 1):
            if at + size > len(pieces) or any(alone[at : at + size]):
                break
            if _only_together(pieces[at : at + size]):
                found |= set(range(at, at + size))
                break
    return found


def _planted(piece: str) -> bool:
    """Whether the classifier takes a sentence for an instruction to a model."""
    from guardrails._classifier import sentence_is  # brings numpy: nothing that only imports guardrails needs it

    return sentence_is("planted_instruction", piece.strip())


def _ordinary(piece: str) -> bool:
    """Whether a pattern has misread a sentence: the classifier is as good as certain, and there is enough to read."""
    if word_count(piece) < _ENOUGH_WORDS or _ROLE.match(piece.strip()):
        return False
    from guardrails._classifier import sentence_likely

    return sentence_likely(piece.strip())["planted_instruction"] < _CERTAINLY_NOT


def _pieces(text: str) -> list[str]:
    """The sentences of a text with the white space after them; joined they are the text."""
    found: list[str] = []
    at = 0
    for sentence in sentences(text):
        start = text.find(sentence, at)
        if start < 0:
            continue
        if found:
            found[-1] += text[at:start]
        elif start:
            found.append(text[:start])
        found.append(sentence)
        at = start + len(sentence)
    if found:
        found[-1] += text[at:]
    return found or [text]


def _instructs(piece: str) -> bool:
    """Whether a sentence gives instructions to a model."""
    if not piece.strip():
        return False
    if _ROLE.match(piece.strip()):
        return True
    read = clean(piece).strip()
    read = re.sub(r"\s+", " ", read)
    if _INJECTION.search(read):
        return True
    if (match := _SHOUTED.search(piece)) and _CAPITALS.search(match[0]):
        return True
    if _SPACED.search(piece):
        joined = _SPACED.sub(lambda found: re.sub(r"[ .\-_*]", "", found[0]), re.sub(r" {2,}", "\x01", piece)).replace(
            "\x01", " "
        )
        return joined != piece and _INJECTION.search(clean(joined)) is not None
    return False


def _only_together(pieces: Sequence[str]) -> bool:
    """Whether pieces of which none is an instruction are one that line breaks, full stops or length have cut: it begins
    in the first and ends in the last. Of the outer pieces only what is next to the cut is read."""
    texts = [re.sub(r"\s+", " ", clean(piece)).strip().rstrip(".") for piece in pieces]
    if not all(texts) or any(len(text) > _SHORT_PIECE for text in texts[1:-1]):
        return False
    first, last = texts[0][-_SHORT_PIECE:], texts[-1][:_SHORT_PIECE]
    joined = " ".join([first, *texts[1:-1], last])
    begins, ends = len(first), len(joined) - len(last)
    return any(match.start() < begins and match.end() > ends for match in _INJECTION.finditer(joined))
