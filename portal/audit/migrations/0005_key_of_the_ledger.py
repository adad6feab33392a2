"""The head says whose signatures the ledger goes on with; deliveries elsewhere say how far they are. From here on events
are only appended, and the database itself refuses everything else."""

from django.db import migrations, models

from portal.audit import _triggers


def install(apps, schema_editor):
    _triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    _triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_append_only")]
    operations = [
        migrations.RunPython(remove, migrations.RunPython.noop),
        migrations.AddField("head", "public_key", models.CharField(blank=True, default="", max_length=64)),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("what", models.CharField(max_length=300, primary_key=True, serialize=False)),
                ("last", models.BigIntegerField(default=0)),
                ("arrived_at", models.DateTimeField(null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(blank=True, max_length=300)),
                ("next_try_at", models.DateTimeField(null=True)),
                ("held_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.RunPython(install, remove),
    ]
