from collections import deque
from itertools import groupby

import django.db.models.fields.json
from django.db import migrations, models

_READ = 6  # earlier answers that a model read, at most


def fill_drawn_from(apps, schema_editor):
    """What earlier answers rested on that a model may have read; what was closed to the person by then is among it,
    because nobody knows any more."""
    turns = apps.get_model("chat", "Turn").objects.using(schema_editor.connection.alias)
    wanted = ("conversation_id", "id", "state", "quotation", "passages")
    rows = turns.order_by("conversation_id", "created_at", "id").values(*wanted)
    found = {}
    for _, conversation in groupby(rows.iterator(chunk_size=500), key=lambda one: one["conversation_id"]):
        read = deque(maxlen=_READ)
        for row in conversation:
            own = {one["version_id"] for one in row["passages"]}
            drawn = set() if row["quotation"] else set().union(*read) - own
            if drawn:
                found[row["id"]] = sorted(drawn)
            if row["state"] == "completed":
                read.append(own | drawn)
    for turn, drawn in found.items():
        turns.filter(pk=turn).update(drawn_from=drawn)


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0002_quotation_and_sealed_reasoning'),
    ]

    operations = [
        migrations.AddField(
            model_name='turn',
            name='drawn_from',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='turn',
            name='model_name',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.fields.json.KeyTextTransform('name', 'model'), output_field=models.TextField()),
        ),
        migrations.AddField(
            model_name='turn',
            name='model_sha256',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.fields.json.KeyTextTransform('sha256', 'model'), output_field=models.TextField()),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(fields=['model_name', '-created_at'], name='turn_model_name'),
        ),
        migrations.AddIndex(
            model_name='turn',
            index=models.Index(fields=['model_sha256', '-created_at'], name='turn_model_sha256'),
        ),
        migrations.RunPython(fill_drawn_from, migrations.RunPython.noop),
    ]
