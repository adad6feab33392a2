"""Guidelines, their versions, pages and chunks, the vectors and the indexes made of them. Text, sections, boxes and
vectors live here; Chroma is an index that can be made again."""

import uuid

from django.db import models
from django.utils import timezone

from knowledge._messages import sentence


class MayFail(models.Model):
    """Something that may go wrong, with the reason as a code, so that everybody reads it in their own language."""

    error_code = models.CharField(max_length=40, blank=True)
    error_parameters = models.JSONField(default=dict, blank=True)

    class Meta:
        abstract = True

    @property
    def error(self) -> str:
        """Why it went wrong, in a sentence in the language that is active; empty where it did not."""
        return sentence(self.error_code, self.error_parameters) if self.error_code else ""


class Department(models.Model):
    """A part of the facility. People belong to departments; a guideline may be for some of them alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Guideline(models.Model):
    """A document of the facility, whatever its versions: what an admin describes, and switches on and off."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=300)
    publisher = models.CharField(max_length=200, blank=True)
    language = models.CharField(max_length=8, blank=True)  # ISO 639-1; empty until the first ingestion has found it
    population = models.CharField(max_length=200, blank=True)  # for whom: adults, adolescents …
    setting = models.CharField(max_length=200, blank=True)  # where: ward, outpatients …
    evidence_level = models.CharField(max_length=200, blank=True)  # as the document states it
    licence = models.CharField(max_length=200, blank=True)
    source_url = models.CharField(max_length=500, blank=True)
    contact = models.CharField(max_length=200, blank=True)  # whom to ask about it
    departments = models.ManyToManyField(Department, blank=True, related_name="guidelines")  # none: everybody's
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["title", "created_at"]
        constraints = [
            models.UniqueConstraint(fields=["title", "publisher"], name="one_guideline_per_title_and_publisher")
        ]

    def __str__(self) -> str:
        return self.title


class Opening(models.Model):
    """That a guideline be for more people than it is for now: asked for by one person, until another one agrees."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guideline = models.OneToOneField(Guideline, on_delete=models.CASCADE, related_name="opening")
    departments = models.ManyToManyField(Department, blank=True, related_name="+")  # none: everybody
    asked_by = models.CharField(max_length=150)
    asked_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"opening {self.id}"


class GuidelineVersion(MayFail):
    """One file of a guideline.

    Its `state` is what people decided and what time has done since (`knowledge.lifecycle`). Whether it answers is
    asked of the clock at the moment of asking (`selectors.answering_versions`), so that a state which nobody has
    brought up to date yet never lets an expired version answer.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        IN_REVIEW = "in_review"
        APPROVED = "approved"  # answers from `effective_from` on
        EFFECTIVE = "effective"
        SUPERSEDED = "superseded"
        EXPIRED = "expired"
        ARCHIVED = "archived"

    class Ingestion(models.TextChoices):
        PENDING = "pending"
        PARSING = "parsing"
        EMBEDDING = "embedding"
        INDEXED = "indexed"
        FAILED = "failed"

    class Origin(models.TextChoices):
        UPLOAD = "upload"
        FOLDER = "folder"
        COMMAND = "command"
        SAMPLE = "sample"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    filename = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100)
    sha256 = models.CharField(max_length=64, unique=True)
    size = models.PositiveBigIntegerField()
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.UPLOAD)
    page_count = models.PositiveIntegerField(null=True, blank=True)  # None in formats without pages
    language = models.CharField(max_length=8, blank=True)
    note = models.CharField(max_length=500, blank=True)  # what is new in it
    # --- life-cycle
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    uploaded_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    submitted_by = models.CharField(max_length=150, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.CharField(max_length=150, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    effective_from = models.DateTimeField(null=True, blank=True)
    review_due = models.DateField(null=True, blank=True)  # a reminder: the version goes on answering
    expires_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    # --- ingestion
    ingestion = models.CharField(max_length=12, choices=Ingestion, default=Ingestion.PENDING)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    step_started_at = models.DateTimeField(null=True, blank=True)
    indexed_at = models.DateTimeField(null=True, blank=True)
    reader = models.PositiveIntegerField(default=0)  # `ingestion.READER` that read it; an older one is read again
    chunk_limit = models.PositiveIntegerField(default=0)  # tokens of a chunk when it was cut; 0: not known
    ocr_language = models.CharField(max_length=8, blank=True)  # "fr" or "en" where an admin asked for OCR
    # --- likeness to other versions
    sketch = models.BinaryField(null=True)  # least hashes of its shingles (`knowledge.ingestion._likeness`)
    similar_to = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    similarity = models.FloatField(null=True, blank=True)  # share of shingles in common, 0 to 1

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


class Page(models.Model):
    """The cleaned text of one page, which quotations are checked against. Formats without pages have one, number 1.

    `headings` is [start, end, level] of each heading in `text`, `blocks` [start, end, kind] of each table and box,
    `boxes` where each word stands on the page (`knowledge.parsing.pack_boxes`); `width` and `height` are in points.
    """

    version = models.ForeignKey(GuidelineVersion, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=40, blank=True)
    text = models.TextField(blank=True)
    headings = models.JSONField(default=list, blank=True)
    blocks = models.JSONField(default=list, blank=True)
    boxes = models.BinaryField(null=True)
    width = models.FloatField(null=True, blank=True)
    height = models.FloatField(null=True, blank=True)
    ocr = models.BooleanField(default=False)  # read off an image

    class Meta:
        ordering = ["version", "number"]
        constraints = [models.UniqueConstraint(fields=["version", "number"], name="one_page_per_number")]

    def __str__(self) -> str:
        return f"page {self.number} of {self.version_id}"


class Chunk(models.Model):
    """A run of whole sentences of one section: what is embedded, found and cited.

    It begins at `start` of the text of page `page` and ends at `end` of that of `last_page`, the same page but where a
    sentence goes over the edge; `text` is what stands between, pages joined by a line break
    (`selectors.source_text`). `terms` is the text as the lexical index sees it (`knowledge._analysis`); triggers of the
    database keep the index in step with it. Neighbours are the ordinals before and after.
    """

    class Kind(models.TextChoices):
        TEXT = "text"
        TABLE = "table"
        BOX = "box"

    version = models.ForeignKey(GuidelineVersion, on_delete=models.CASCADE, related_name="chunks")
    ordinal = models.PositiveIntegerField()
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.TEXT)
    page = models.PositiveIntegerField(
        null=True, blank=True
    )  # number in the PDF, from 1; None in formats without pages
    last_page = models.PositiveIntegerField(null=True, blank=True)
    page_label = models.CharField(max_length=40, blank=True)
    heading = models.TextField(blank=True)
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField(null=True, blank=True)  # of the embedder that it was cut for
    language = models.CharField(max_length=8, blank=True)
    terms = models.TextField(blank=True)

    class Meta:
        ordering = ["version", "ordinal"]
        constraints = [models.UniqueConstraint(fields=["version", "ordinal"], name="one_chunk_per_ordinal")]

    def __str__(self) -> str:
        return f"chunk {self.ordinal} of {self.version_id}"


class Embedding(models.Model):
    """The vector of a chunk as one embedder sees it. While a new embedder's vectors are being made, the old one's stay
    and answer."""

    chunk = models.ForeignKey(Chunk, on_delete=models.CASCADE, related_name="embeddings")
    embedder = models.CharField(max_length=120)  # `Embedder.id`
    vector = models.BinaryField()  # float32, little-endian, unit length

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chunk", "embedder"], name="one_vector_per_embedder")]

    def __str__(self) -> str:
        return f"{self.embedder} of chunk {self.chunk_id}"


class Index(MayFail):
    """A vector index of everything that may answer, made with one embedder. One is active: questions are asked of it
    until another one is complete and has passed its check."""

    class State(models.TextChoices):
        BUILDING = "building"
        ACTIVE = "active"
        RETIRED = "retired"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    embedder = models.CharField(max_length=120)  # `Embedder.id`
    source = models.CharField(max_length=500)  # what HAVRE_EMBEDDER said: how the model is loaded again
    state = models.CharField(max_length=8, choices=State, default=State.BUILDING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)  # last compared with SQL

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=models.Q(state="active"), name="one_active_index")
        ]

    def __str__(self) -> str:
        return f"{self.embedder} ({self.state})"


class FolderFile(MayFail):
    """A file that was seen in the watched folder: taken in, or left with the reason."""

    path = models.CharField(max_length=1000, unique=True)  # below the watched folder
    size = models.PositiveBigIntegerField()
    modified_ns = models.BigIntegerField()
    seen_at = models.DateTimeField(default=timezone.now)
    version = models.ForeignKey(GuidelineVersion, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class Trial(MayFail):
    """A question that an admin tried in the test bench, and what the retrieval did with it (`retrieval.Explanation` as
    JSON), worked out by the knowledge worker, the only one that has the index."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    question = models.TextField()
    history = models.JSONField(default=list, blank=True)  # earlier questions of the conversation, oldest first
    departments = models.ManyToManyField(Department, blank=True, related_name="+")  # asked as somebody of these
    everything = models.BooleanField(default=True)  # asked without regard to departments
    asked_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    result = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"trial {self.id}"


class Question(models.Model):
    """A case of the facility's own question set: a question and the place in a guideline that should be found for it.

    The place is kept as words, so that the case outlives the version that it was made from. What came out when it was
    asked last (`outcome`, `rank`, of `checked_at`) holds until somebody wants it asked again (`wanted_at`).
    """

    class Outcome(models.TextChoices):
        FOUND = "found"
        NOT_FOUND = "not_found"
        SILENT = "silent"  # no version of the guideline may answer now
        GONE = "gone"  # the version that answers has other words
        UNCOVERED = "uncovered"  # found, but with so little confidence that nothing would be answered
        FAILED = "failed"  # the question could not be asked

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    text = models.TextField()
    guideline = models.ForeignKey(Guideline, on_delete=models.CASCADE, related_name="questions")
    page = models.PositiveIntegerField(null=True, blank=True)  # where the words stood when the case was made
    quote = models.TextField()  # words of the passage that should be found
    added_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    withdrawn_at = models.DateTimeField(null=True, blank=True)  # no longer a case; kept for a while, to be brought back
    wanted_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome, blank=True)
    rank = models.PositiveIntegerField(null=True, blank=True)  # place of the passage, from 1

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["text", "guideline", "page"], name="one_case_per_place")]

    def __str__(self) -> str:
        return f"question {self.id}"
