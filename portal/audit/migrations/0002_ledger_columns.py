"""What a ledger needs beside its events: codes for names, hashes, marks, checkpoints. The next migration fills them."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Actor",
            fields=[
                ("code", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=170, null=True, unique=True)),
                ("salt", models.BinaryField(max_length=32, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
                ("tree_size", models.BigIntegerField()),
                ("root", models.BinaryField(max_length=32)),
                ("frontier", models.BinaryField()),
                ("body", models.TextField()),
                ("signature", models.BinaryField(max_length=64)),
            ],
            options={"ordering": ["-number"]},
        ),
        migrations.AddField("head", "last_at", models.DateTimeField(null=True)),
        migrations.AddField("head", "ledger", models.UUIDField(default=uuid.uuid4)),
        migrations.RenameField("event", "actor", "actor_name"),
        migrations.AddField(
            "event",
            "actor",
            models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="audit.actor"
            ),
        ),
        migrations.AddField("event", "leaf", models.BinaryField(max_length=32, null=True)),
        migrations.AddField("event", "mac", models.BinaryField(max_length=32, null=True)),
    ]
