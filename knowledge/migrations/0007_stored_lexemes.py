"""PostgreSQL keeps the words of a chunk as a stored tsvector, made without its own parser: a word is then the same as in
SQLite's index, and looking one up reads no text."""

from django.db import migrations

FORWARDS = [
    "DROP INDEX IF EXISTS knowledge_chunk_terms",
    "ALTER TABLE knowledge_chunk ADD COLUMN lexemes tsvector GENERATED ALWAYS AS "
    "(array_to_tsvector(array_remove(string_to_array(terms, ' '), ''))) STORED",
    "CREATE INDEX knowledge_chunk_lexemes ON knowledge_chunk USING gin (lexemes) WITH (fastupdate = off)",
]
BACKWARDS = [
    "DROP INDEX knowledge_chunk_lexemes",
    "ALTER TABLE knowledge_chunk DROP COLUMN lexemes",
    "CREATE INDEX knowledge_chunk_terms ON knowledge_chunk USING gin (to_tsvector('simple', terms))",
]


def forwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in FORWARDS:
            schema_editor.execute(statement)


def backwards(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in BACKWARDS:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0006_tokens_of_chunks")]
    operations = [migrations.RunPython(forwards, backwards)]
