"""From here on events are only appended, and the database itself refuses everything else."""

import django.db.models.deletion
from django.db import migrations, models

from portal.audit import _triggers


def install(apps, schema_editor):
    _triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    _triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_codes_and_hashes")]
    operations = [
        migrations.RemoveField("event", "actor_name"),
        migrations.AlterField(
            "event",
            "actor",
            models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="audit.actor"),
        ),
        migrations.AlterField("event", "leaf", models.BinaryField(max_length=32)),
        migrations.AlterField("event", "mac", models.BinaryField(max_length=32)),
        migrations.RunPython(install, remove),
    ]
