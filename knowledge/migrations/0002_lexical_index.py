"""The lexical index over Chunk.terms: an FTS5 table kept by triggers on SQLite, an expression index on PostgreSQL."""

from django.db import migrations

SQLITE = [
    "CREATE VIRTUAL TABLE knowledge_chunk_fts USING fts5(terms, content='knowledge_chunk', content_rowid='id', tokenize='ascii')",
    "CREATE TRIGGER knowledge_chunk_fts_insert AFTER INSERT ON knowledge_chunk BEGIN "
    "INSERT INTO knowledge_chunk_fts(rowid, terms) VALUES (new.id, new.terms); END",
    "CREATE TRIGGER knowledge_chunk_fts_delete AFTER DELETE ON knowledge_chunk BEGIN "
    "INSERT INTO knowledge_chunk_fts(knowledge_chunk_fts, rowid, terms) VALUES ('delete', old.id, old.terms); END",
    "CREATE TRIGGER knowledge_chunk_fts_update AFTER UPDATE OF terms ON knowledge_chunk BEGIN "
    "INSERT INTO knowledge_chunk_fts(knowledge_chunk_fts, rowid, terms) VALUES ('delete', old.id, old.terms); "
    "INSERT INTO knowledge_chunk_fts(rowid, terms) VALUES (new.id, new.terms); END",
]
SQLITE_BACK = [
    "DROP TRIGGER knowledge_chunk_fts_insert",
    "DROP TRIGGER knowledge_chunk_fts_delete",
    "DROP TRIGGER knowledge_chunk_fts_update",
    "DROP TABLE knowledge_chunk_fts",
]
POSTGRESQL = ["CREATE INDEX knowledge_chunk_terms ON knowledge_chunk USING gin (to_tsvector('simple', terms))"]
POSTGRESQL_BACK = ["DROP INDEX knowledge_chunk_terms"]


def _run(schema_editor, statements):
    for statement in statements.get(schema_editor.connection.vendor, []):
        schema_editor.execute(statement)


def forwards(apps, schema_editor):
    _run(schema_editor, {"sqlite": SQLITE, "postgresql": POSTGRESQL})


def backwards(apps, schema_editor):
    _run(schema_editor, {"sqlite": SQLITE_BACK, "postgresql": POSTGRESQL_BACK})


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
