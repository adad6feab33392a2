"""A head that migration 0007 once left without its mark, because the key could not be read, gets it: the next event would
tell for ever of an end that nobody cut off. Here alone, once: whoever takes a mark away later is told of."""

from django.core.management.base import CommandError
from django.db import migrations

from portal.audit import _triggers, keys
from portal.audit.services import key_of

_TAIL_MISSING = "audit.tail_missing"


def mark(apps, schema_editor):
    Event, Head = apps.get_model("audit", "Event"), apps.get_model("audit", "Head")
    head = Head.objects.filter(pk=1, last_seq__gt=0, mark__isnull=True).first()
    if head is None or Event.objects.filter(kind=_TAIL_MISSING).exists():
        return
    last = Event.objects.order_by("-seq").values_list("seq", "leaf", "mac").first()
    try:
        key = key_of(head)
    except keys.NoAuditKey as error:
        raise CommandError(f"The audit trail cannot be brought up to date without its key. {error}") from error
    if last is None or last[0] != head.last_seq or not key.has_marked(bytes(last[1]), bytes(last[2])):
        return  # that is damage, and is told of as such
    _triggers.remove(schema_editor.connection)
    Head.objects.filter(pk=1).update(mark=key.mark_last(bytes(last[1])))
    _triggers.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0010_ends_far_away")]
    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
