"""Events have what a ledger needs; the next migration has the database refuse everything but appending."""

import django.db.models.deletion
from django.db import migrations, models

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
    ]
