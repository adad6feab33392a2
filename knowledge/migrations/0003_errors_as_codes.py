"""Why an ingestion failed is kept as a code with parameters, so that everybody reads it in their own language."""

from django.db import migrations, models


def read_again(apps, schema_editor):
    """What failed before had its reason in one language only; reading it again finds the reason again."""
    versions = apps.get_model("knowledge", "GuidelineVersion").objects.filter(ingestion="failed")
    versions.update(ingestion="pending", error_code="", progress_done=0, progress_total=0)


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0002_lexical_index")]
    operations = [
        migrations.RemoveField("guidelineversion", "error"),
        migrations.AddField(
            "guidelineversion", "error_parameters", models.JSONField(blank=True, default=dict)
        ),
        migrations.RunPython(read_again, migrations.RunPython.noop),
    ]
