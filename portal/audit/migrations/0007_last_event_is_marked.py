"""The head bears a mark of its own: that the last event is the last one."""

from contextlib import suppress

from django.db import migrations, models

from portal.audit import _triggers, keys


def mark(apps, schema_editor):
    Event, Head = apps.get_model("audit", "Event"), apps.get_model("audit", "Head")
    head = Head.objects.filter(pk=1, last_seq__gt=0).first()
    if head is None:
        return
    leaf = Event.objects.values_list("leaf", flat=True).get(seq=head.last_seq)
    with suppress(keys.NoAuditKey):  # without it nothing is recorded either; the next event marks the head
        Head.objects.filter(pk=1).update(mark=keys.current().mark_last(bytes(leaf)))


def install(apps, schema_editor):
    _triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    _triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_exports")]
    operations = [
        migrations.RunPython(remove, install),
        migrations.AddField("head", "mark", models.BinaryField(max_length=32, null=True)),
        migrations.RunPython(mark, migrations.RunPython.noop),
        migrations.RunPython(install, remove),
    ]
