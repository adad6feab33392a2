"""What the library announces of its own work, inside the transaction that writes it: a receiver's writes are committed
with it, or not at all."""

from django.dispatch import Signal

version_added = Signal()
"""Sent with `version` and `actor` when a file has been taken in."""

version_changed = Signal()
"""Sent with `version`, its state `before`, the `actor` ("system" for the clock), the `note` that was given and whether
the actor decided alone as `operator`, when its state has changed."""

guideline_changed = Signal()
"""Sent with `guideline`, what was done (`kind`: "described", "rescheduled", "enabled", "disabled", "joined",
"split_off", "kept_apart", "retried", "ocr_asked", "opening_asked", "opened", "opening_withdrawn"), the `actor`,
`changes` ({field: [before, after]}, values of JSON) and `version` (None where it is about all of them)."""

department_changed = Signal()
"""Sent with `department`, what was done (`kind`: "added", "renamed", "removed"), the `actor` and `changes`."""

ingestion_ended = Signal()
"""Sent with `version` when its ingestion has ended, indexed or failed."""

index_changed = Signal()
"""Sent with `index` and what happened to it (`kind`): "switched" (it answers in place of another one), "failed" (it was
not made, the old one answers on), "mended" (it differed from the database); `details` says more (values of JSON)."""
