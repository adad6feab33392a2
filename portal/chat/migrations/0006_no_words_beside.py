from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0005_seal_words'),
    ]

    operations = [
        migrations.RemoveField('conversation', 'title'),
        migrations.RemoveField('turn', 'question'),
        migrations.RemoveField('turn', 'passages'),
        migrations.RemoveField('turn', 'answer'),
        migrations.RemoveField('turn', 'citations'),
        migrations.RemoveField('turn', 'notices'),
    ]
