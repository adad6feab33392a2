"""Guidelines, their versions, pages and chunks. Text and vectors live here; Chroma is an index that can be made
again."""

import uuid

from django.db import models
from django.utils import timezone

from knowledge._messages import sentence


class Guideline(models.Model):
    """A document of the facility, whatever its versions: what an admin switches on and off."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=300)
    publisher = models.CharField(max_length=200, blank=True)
    language = models.CharField(max_length=8, blank=True)  # ISO 639-1; empty until the first ingestion has found it
    licence = models.CharField(max_length=200, blank=True)
    source_url = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["title", "created_at"]
        constraints = [
            models.UniqueConstraint(fields=["title", "publisher"], name="one_guideline_per_title_and_publisher")
        ]

    def __str__(self) -> str:
        return self.title


class GuidelineVersion(models.Model):
    """One file of a guideline. Only an effective version of an enabled guideline answers; others stay for old
    citations."""

    class State(models.TextChoices):
        DRAFT = "draft"
        EFFECTIVE = "effective"
        SUPERSEDED = "superseded"
        ARCHIVED = "archived"

    class Ingestion(models.TextChoices):
        PENDING = "pending"
        PARSING = "parsing"
        EMBEDDING = "embedding"
        INDEXED = "indexed"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    filename = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100)
    sha256 = models.CharField(max_length=64, unique=True)
    size = models.PositiveBigIntegerField()
    page_count = models.PositiveIntegerField(null=True, blank=True)  # None in formats without pages
    language = models.CharField(max_length=8, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    approved = models.BooleanField(default=False)  # becomes effective by itself once it is indexed
    ingestion = models.CharField(max_length=12, choices=Ingestion, default=Ingestion.PENDING)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=40, blank=True)
    error_parameters = models.JSONField(default=dict, blank=True)
    uploaded_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    indexed_at = models.DateTimeField(null=True, blank=True)
    effective_from = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["guideline", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["guideline", "number"], name="one_version_per_number"),
            models.UniqueConstraint(
                fields=["guideline"],
                condition=models.Q(state="effective"),
                name="one_effective_version_per_guideline",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.guideline.title} {self.label}"

    @property
    def label(self) -> str:
        """How the version is named in a citation, e.g. "v2"."""
        return f"v{self.number}"

    @property
    def error(self) -> str:
        """Why the ingestion failed, in a sentence in the language that is active; empty where it did not."""
        return sentence(self.error_code, self.error_parameters) if self.error_code else ""


class Page(models.Model):
    """The cleaned text of one page, which quotations are checked against. Formats without pages have one, number 1."""

    version = models.ForeignKey(GuidelineVersion, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=40, blank=True)
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["version", "number"]
        constraints = [models.UniqueConstraint(fields=["version", "number"], name="one_page_per_number")]

    def __str__(self) -> str:
        return f"page {self.number} of {self.version_id}"


class Chunk(models.Model):
    """A run of whole sentences of one section of one page: what is embedded, found and cited.

    `text == page.text[start:end]`. `terms` is the text as the lexical index sees it (`knowledge._analysis`); triggers
    of the database keep the index in step with it.
    """

    version = models.ForeignKey(GuidelineVersion, on_delete=models.CASCADE, related_name="chunks")
    ordinal = models.PositiveIntegerField()
    page = models.PositiveIntegerField(
        null=True, blank=True
    )  # number in the PDF, from 1; None in formats without pages
    page_label = models.CharField(max_length=40, blank=True)
    heading = models.TextField(blank=True)
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    language = models.CharField(max_length=8, blank=True)
    terms = models.TextField(blank=True)
    embedding = models.BinaryField(null=True)  # float32, little-endian, unit length
    embedder = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["version", "ordinal"]
        constraints = [models.UniqueConstraint(fields=["version", "ordinal"], name="one_chunk_per_ordinal")]

    def __str__(self) -> str:
        return f"chunk {self.ordinal} of {self.version_id}"
