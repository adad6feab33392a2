from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0003_what_answers_rest_on'),
    ]

    operations = [
        migrations.AddField('conversation', 'titled', models.BinaryField(null=True)),
        migrations.AddField('conversation', 'erased_at', models.DateTimeField(null=True)),
        migrations.AddField('turn', 'asked', models.BinaryField(null=True)),
        migrations.AddField('turn', 'found', models.BinaryField(null=True)),
        migrations.AddField('turn', 'passage_versions', models.JSONField(default=list)),
        migrations.AddField('turn', 'said', models.BinaryField(null=True)),
    ]
