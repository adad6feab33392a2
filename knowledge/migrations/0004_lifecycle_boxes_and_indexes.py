"""The life-cycle of versions, departments, boxes of words, vectors by embedder, indexes, questions and trials."""

from importlib import import_module

import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models
from django.db.models import F


def lexical(direction):
    """A change of the chunk table makes it anew on SQLite, and triggers do not outlive that."""
    module = import_module("knowledge.migrations.0002_lexical_index")

    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "sqlite":
            getattr(module, direction)(apps, schema_editor)
            if direction == "forwards":
                schema_editor.execute("INSERT INTO knowledge_chunk_fts(knowledge_chunk_fts) VALUES ('rebuild')")

    return run


def keep_decisions_and_vectors(apps, schema_editor):
    versions = apps.get_model("knowledge", "GuidelineVersion").objects
    versions.filter(state="draft", approved=True).update(state="approved")
    versions.exclude(state="draft").update(approved_at=F("created_at"), approved_by=F("uploaded_by"))
    versions.exclude(state="draft").filter(effective_from=None).update(effective_from=F("created_at"))
    apps.get_model("knowledge", "Chunk").objects.update(last_page=F("page"))
    schema_editor.execute(
        "INSERT INTO knowledge_embedding (chunk_id, embedder, vector) "
        "SELECT id, embedder, embedding FROM knowledge_chunk WHERE embedding IS NOT NULL"
    )
    if schema_editor.connection.vendor == "postgresql":  # tables with checks outstanding cannot be altered
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0003_errors_as_codes'),
    ]

    operations = [
        migrations.RunPython(lexical("backwards"), lexical("forwards")),
        migrations.CreateModel(
            name='Department',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120, unique=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='chunk',
            name='kind',
            field=models.CharField(choices=[('text', 'Text'), ('table', 'Table'), ('box', 'Box')], default='text', max_length=5),
        ),
        migrations.AddField(
            model_name='chunk',
            name='last_page',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guideline',
            name='contact',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='guideline',
            name='evidence_level',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='guideline',
            name='population',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='guideline',
            name='setting',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='approved_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='approved_by',
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='archived_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='expires_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='note',
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='ocr_language',
            field=models.CharField(blank=True, max_length=8),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='origin',
            field=models.CharField(choices=[('upload', 'Upload'), ('folder', 'Folder'), ('command', 'Command'), ('sample', 'Sample')], default='upload', max_length=8),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='reader',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='review_due',
            field=models.DateField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='similar_to',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='knowledge.guidelineversion'),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='similarity',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='sketch',
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='step_started_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='submitted_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='guidelineversion',
            name='submitted_by',
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name='page',
            name='blocks',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='page',
            name='boxes',
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name='page',
            name='headings',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='page',
            name='height',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='page',
            name='ocr',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='page',
            name='width',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='guidelineversion',
            name='state',
            field=models.CharField(choices=[('draft', 'Draft'), ('in_review', 'In Review'), ('approved', 'Approved'), ('effective', 'Effective'), ('superseded', 'Superseded'), ('expired', 'Expired'), ('archived', 'Archived')], default='draft', max_length=12),
        ),
        migrations.AddField(
            model_name='guideline',
            name='departments',
            field=models.ManyToManyField(blank=True, related_name='guidelines', to='knowledge.department'),
        ),
        migrations.CreateModel(
            name='FolderFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.CharField(max_length=1000, unique=True)),
                ('size', models.PositiveBigIntegerField()),
                ('modified_ns', models.BigIntegerField()),
                ('seen_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('error_code', models.CharField(blank=True, max_length=40)),
                ('error_parameters', models.JSONField(blank=True, default=dict)),
                ('version', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='knowledge.guidelineversion')),
            ],
            options={
                'ordering': ['path'],
            },
        ),
        migrations.CreateModel(
            name='Index',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('embedder', models.CharField(max_length=120)),
                ('source', models.CharField(max_length=500)),
                ('state', models.CharField(choices=[('building', 'Building'), ('active', 'Active'), ('retired', 'Retired'), ('failed', 'Failed')], default='building', max_length=8)),
                ('done', models.PositiveIntegerField(default=0)),
                ('total', models.PositiveIntegerField(default=0)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('verified_at', models.DateTimeField(blank=True, null=True)),
                ('error_code', models.CharField(blank=True, max_length=40)),
                ('error_parameters', models.JSONField(blank=True, default=dict)),
            ],
            options={
                'ordering': ['-started_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'active')), fields=('state',), name='one_active_index')],
            },
        ),
        migrations.CreateModel(
            name='Trial',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('question', models.TextField()),
                ('everything', models.BooleanField(default=True)),
                ('asked_by', models.CharField(max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('done', 'Done'), ('failed', 'Failed')], default='waiting', max_length=7)),
                ('result', models.JSONField(blank=True, default=dict)),
                ('error_code', models.CharField(blank=True, max_length=40)),
                ('error_parameters', models.JSONField(blank=True, default=dict)),
                ('departments', models.ManyToManyField(blank=True, related_name='+', to='knowledge.department')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.CreateModel(
            name='Embedding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('embedder', models.CharField(max_length=120)),
                ('vector', models.BinaryField()),
                ('chunk', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='embeddings', to='knowledge.chunk')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('chunk', 'embedder'), name='one_vector_per_embedder')],
            },
        ),
        migrations.CreateModel(
            name='Question',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField()),
                ('page', models.PositiveIntegerField(blank=True, null=True)),
                ('quote', models.TextField()),
                ('added_by', models.CharField(max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('guideline', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='questions', to='knowledge.guideline')),
            ],
            options={
                'ordering': ['created_at'],
                'constraints': [models.UniqueConstraint(fields=('text', 'guideline', 'page'), name='one_case_per_place')],
            },
        ),
        migrations.RunPython(keep_decisions_and_vectors, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='chunk',
            name='embedder',
        ),
        migrations.RemoveField(
            model_name='chunk',
            name='embedding',
        ),
        migrations.RemoveField(
            model_name='guidelineversion',
            name='approved',
        ),
        migrations.RunPython(lexical("forwards"), lexical("backwards")),
    ]
