from django.db import migrations, models


class Migration(migrations.Migration):
    """How large the chunks of a version may be, so that those cut for another embedder are cut again."""

    dependencies = [("knowledge", "0008_openings")]

    operations = [
        migrations.AddField(
            model_name="guidelineversion",
            name="chunk_limit",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
