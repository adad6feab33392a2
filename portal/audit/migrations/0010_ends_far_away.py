"""A head that somebody set to a far number goes back; rows with far numbers move nothing."""

from django.db import migrations

from portal.audit import _triggers


def install(apps, schema_editor):
    _triggers.install(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0009_index_of_traits")]
    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
