"""From a file to passages that can be found: taken in, read, cut, embedded, indexed."""
