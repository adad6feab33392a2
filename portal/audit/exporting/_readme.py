"""README.txt of a bundle. In English and French at once, whoever asked: it is read years later, by somebody else."""

README = """\
AUDIT TRAIL OF HAVRE: A BUNDLE THAT PROVES ITSELF            (français : plus bas)

events.jsonl       the events, one a line, exactly the bytes that were hashed
names.jsonl        the names of the people that the events know by codes (not of those who were erased)
support.jsonl      events that were not asked for and that proofs need: who got which code, which key took over
left_out.jsonl     where this is a selection: one hash for each part of the tree that is not in it
checkpoints.jsonl  signed statements of how long the audit trail was and what its root was
public_key.txt     the key of these signatures
manifest.json      what this is, and the SHA-256 of each file; manifest.sig is its signature
verify.py          a program that verifies all this

To verify, with Python 3.9 or newer and nothing else:

    python3 verify.py BUNDLE.zip          or, where this was unpacked:    python3 verify.py

It ends with VERIFIED or names what is wrong (exit code 0, 1; 2: nothing could be verified).

Do not trust the bundle alone. Whoever could forge a bundle could put another key and another program into it:
 - compare the public key with what the facility told you on another way, or give it: --public-key HEX
 - take verify.py from a copy of Havre that you trust
 - give checkpoints that were kept elsewhere (a folder, a syslog): --checkpoint FILE. They show a tail that was cut off.

--prove NUMBER prints the inclusion proof of one event as RFC 6962 has it, for programs that know nothing of bundles.

Without our program. The hash of an event is SHA-256 over the byte 00 and its line without the line break. The tree is
that of RFC 6962, section 2.1; an event stands at its number. A line of left_out.jsonl is a whole subtree: the number of
its first event, how many there are, its root. At tree_size events the root is what the checkpoint says. The signature
of a checkpoint is Ed25519 (RFC 8032) over "havre audit checkpoint v1", a line break, and its body; that of the manifest
over "havre audit manifest v1", a line break, and manifest.json. A name belongs to a code when SHA-256 over salt and
name (UTF-8) is the commitment in the event person.named with that code as its subject.

A line with "problem" is no event: there the row was found changed when this was written. It has the values of the row
("row") and the hash that stood beside it ("leaf"), with which the tree is computed, so that all the others are proven.
Of a time in which nothing happened the first and the last checkpoint are here; their numbers say how many were sealed.

A selection proves that each event stands in the audit trail, not that none was left out: a complete bundle proves that.
Events hold no words of conversations.


PISTE D'AUDIT DE HAVRE : UN EXPORT QUI SE PROUVE LUI-MÊME

events.jsonl       les événements, un par ligne, exactement les octets qui ont été hachés
names.jsonl        les noms des personnes que les événements désignent par un code (sauf les personnes effacées)
support.jsonl      des événements non demandés mais nécessaires aux preuves : attribution des codes, relève des clés
left_out.jsonl     pour une sélection : une empreinte pour chaque partie de l'arbre qui n'y figure pas
checkpoints.jsonl  déclarations signées : la longueur de la piste d'audit et sa racine à un instant donné
public_key.txt     la clé de ces signatures
manifest.json      ce que contient l'export, et le SHA-256 de chaque fichier ; manifest.sig en est la signature
verify.py          un programme qui vérifie le tout

Pour vérifier, avec Python 3.9 ou plus récent et rien d'autre :

    python3 verify.py EXPORT.zip          ou, une fois décompressé :    python3 verify.py

Le programme (en anglais) conclut par VERIFIED (vérifié) ou nomme ce qui est faux (code de sortie 0 ou 1 ; 2 : rien n'a
pu être vérifié).

Ne vous fiez pas à l'export seul. Qui saurait forger un export pourrait y mettre une autre clé et un autre programme :
 - comparez la clé publique à celle que l'établissement vous a transmise par une autre voie, ou donnez-la :
   --public-key HEX
 - prenez verify.py dans une copie de Havre à laquelle vous faites confiance
 - donnez des déclarations conservées ailleurs (un dossier, un syslog) : --checkpoint FICHIER. Elles révèlent une fin
   de piste qui aurait été coupée.

--prove NUMÉRO imprime la preuve d'inclusion d'un événement au sens de la RFC 6962, pour des programmes qui ne savent
rien de ces exports.

Sans notre programme : l'empreinte d'un événement est le SHA-256 de l'octet 00 suivi de sa ligne sans le saut de ligne.
L'arbre est celui de la RFC 6962, section 2.1 ; un événement y occupe la place de son numéro. Une ligne de
left_out.jsonl est un sous-arbre entier : le numéro de son premier événement, leur nombre, sa racine. À tree_size
événements, la racine est celle que dit la déclaration. La signature d'une déclaration est une signature Ed25519
(RFC 8032) de « havre audit checkpoint v1 », d'un saut de ligne et de son champ body ; celle du manifeste porte sur
« havre audit manifest v1 », un saut de ligne et manifest.json. Un nom appartient à un code quand le SHA-256 du sel
suivi du nom (UTF-8) est le champ commitment de l'événement person.named dont ce code est le sujet.

Une ligne qui porte « problem » n'est pas un événement : la ligne de la base a été trouvée modifiée lors de l'export.
Elle en donne les valeurs (« row ») et l'empreinte qui l'accompagnait (« leaf »), avec laquelle l'arbre est calculé, de
sorte que tous les autres événements restent prouvés. D'une période où rien ne s'est passé figurent la première et la
dernière déclaration ; leurs numéros disent combien ont été scellées.

Une sélection prouve que chaque événement figure dans la piste d'audit, non qu'aucun n'a été omis : seul un export
complet le prouve. Les événements ne contiennent aucun mot des conversations.
"""
