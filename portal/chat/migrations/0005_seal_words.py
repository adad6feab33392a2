import json
import secrets

from django.db import migrations

from portal import vault


def seal_words(apps, schema_editor):
    """Whatever people asked and read so far is sealed with the key of its conversation."""
    database = schema_editor.connection.alias
    conversations = apps.get_model("chat", "Conversation").objects.using(database)
    turns = apps.get_model("chat", "Turn").objects.using(database)
    if not conversations.exists():
        return
    keys = apps.get_model("chat", "ConversationKey").objects.using(database)
    if not keys.exists():
        vault.make_master_key()
    master = vault.master_key()
    for conversation in conversations.order_by("pk").iterator(chunk_size=200):
        key = _key(keys, master, conversation.pk)
        titled = _sealed(key, conversation.pk, "titled", {"title": conversation.title})
        conversations.filter(pk=conversation.pk).update(titled=titled)
        for turn in turns.filter(conversation_id=conversation.pk).order_by("pk"):
            verdict = dict(turn.verdict)
            matched = verdict.pop("matched", [])
            turns.filter(pk=turn.pk).update(
                asked=_sealed(key, turn.pk, "asked", {"question": turn.question, "matched": matched}),
                found=_sealed(key, turn.pk, "found", {"passages": turn.passages}) if turn.passages else None,
                said=_sealed(
                    key,
                    turn.pk,
                    "said",
                    {"answer": turn.answer, "citations": turn.citations, "notices": turn.notices},
                ),
                passage_versions=sorted({one["version_id"] for one in turn.passages if "version_id" in one}),
                verdict=verdict,
            )


def _key(keys, master, conversation):
    purpose = f"{conversation}:key".encode()
    row = keys.filter(pk=conversation).first()
    if row is not None:
        return vault.open(master, row.wrapped, purpose)
    key = vault.new_key()
    keys.create(conversation_id=conversation, wrapped=vault.seal(master, key, purpose))
    return key


def _sealed(key, owner, column, values):
    whole = json.dumps({**values, "salt": secrets.token_hex(32)}).encode()
    return vault.seal(key, whole, f"{owner}:{column}".encode())


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0004_columns_for_sealed_words'),
    ]

    operations = [
        migrations.RunPython(seal_words),
    ]
