"""Vectors: the embedding model that makes them, the index that finds them, and what keeps it in step with SQL."""
