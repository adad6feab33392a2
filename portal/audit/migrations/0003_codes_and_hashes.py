"""The events that are there already get their codes, hashes and marks, in their order; every name that has acted is
then recorded with its code, as it will be from now on."""

import secrets

from django.db import migrations
from django.utils import timezone

from portal.audit import keys
from portal.audit._canonical import entry, plain
from portal.audit._merkle import leaf_hash
from portal.audit.services import NOBODY, commitment


def forwards(apps, schema_editor):
    Event, Head = apps.get_model("audit", "Event"), apps.get_model("audit", "Head")
    if not Event.objects.exists():
        return
    keys.make()
    key, codes = keys.current(), _codes(apps.get_model("audit", "Actor"), Event)
    for event in Event.objects.order_by("seq").iterator():
        event.actor_id = codes[event.actor_name]
        event.payload = plain(event.payload)
        if event.kind.startswith(("user.", "session.")):
            event.subject = codes.get(event.subject, event.subject)
        _seal(event, key)
        event.save()
    head = Head.objects.get()
    for name, code in codes.items():
        if name in NOBODY:
            continue
        salt = apps.get_model("audit", "Actor").objects.get(code=code).salt
        head.last_seq, head.last_at = head.last_seq + 1, timezone.now()
        event = Event(seq=head.last_seq, at=head.last_at, kind="person.named", actor_id="system", subject=code)
        event.actor_name, event.payload = "system", {"commitment": commitment(salt, name)}
        _seal(event, key)
        event.save(force_insert=True)
    head.last_at = head.last_at or timezone.now()
    head.save()


def _codes(Actor, Event):
    names = set(Event.objects.order_by().values_list("actor_name", flat=True).distinct()) | {"system"}
    people = Event.objects.filter(kind__startswith="user.").order_by()
    names |= set(people.values_list("subject", flat=True).distinct())
    codes = {name: name if name in NOBODY else f"p-{secrets.token_hex(12)}" for name in sorted(names)}
    for name, code in codes.items():
        Actor.objects.create(code=code, name=name, salt=None if name in NOBODY else secrets.token_bytes(32))
    return codes


def _seal(event, key):
    event.leaf = leaf_hash(
        entry(
            seq=event.seq,
            at=event.at,
            kind=event.kind,
            actor=event.actor_id,
            actor_role=event.actor_role,
            subject=event.subject,
            payload=event.payload,
        )
    )
    event.mac = key.mark(event.leaf)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_ledger_columns")]
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
