"""The head goes on also where its end was cut off, which is recorded; a name is erased behind its event alone; a
delivery remembers what it sent last."""

from django.db import migrations, models

from portal.audit import _triggers


def install(apps, schema_editor):
    _triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    _triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0007_last_event_is_marked")]
    operations = [
        migrations.RunPython(remove, install),
        migrations.AddField("delivery", "proof", models.BinaryField(max_length=32, null=True)),
        migrations.RunPython(install, remove),
    ]
