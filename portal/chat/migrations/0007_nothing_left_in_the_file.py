from django.db import migrations


def rewrite_file(apps, schema_editor):
    """SQLite keeps what was deleted in free pages and in its log until they are used again. PostgreSQL does until
    VACUUM FULL, and so do backups: docs/decisions/content-sealed.md."""
    if schema_editor.connection.vendor == "sqlite":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Migration(migrations.Migration):

    atomic = False  # a file is not rewritten within a transaction

    dependencies = [
        ('chat', '0006_no_words_beside'),
    ]

    operations = [
        migrations.RunPython(rewrite_file, migrations.RunPython.noop),
    ]
