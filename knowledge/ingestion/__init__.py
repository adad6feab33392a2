"""From a file to passages that can be found: taken in, read, cut, embedded, indexed."""

READER = 2  # goes up when reading or cutting gets better: versions that an older one has read are read again
"""Which way of reading a version's pages and chunks come from (`GuidelineVersion.reader`)."""
