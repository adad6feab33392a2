from django.db import migrations, models


class Migration(migrations.Migration):
    """What was sent is known by more than its last number and hash: by some of those before it, too."""

    dependencies = [("audit", "0011_marks_that_were_never_made")]

    operations = [
        migrations.AddField(model_name="delivery", name="landmarks", field=models.JSONField(default=list)),
    ]
