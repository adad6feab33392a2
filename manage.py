#!/usr/bin/env python
"""Havre's command line: `manage.py help` lists every command."""

import os
import sys


def main() -> None:
    """Run one Django management command.

    `--data-dir DIR` is understood before settings are read, because every path of an
    installation (database, socket, models, index) hangs below the data folder.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    for position, argument in enumerate(sys.argv):
        if argument == "--data-dir" and position + 1 < len(sys.argv):
            os.environ["HAVRE_DATA_DIR"] = sys.argv[position + 1]
        elif argument.startswith("--data-dir="):
            os.environ["HAVRE_DATA_DIR"] = argument.partition("=")[2]

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"havre: {error}")


if __name__ == "__main__":
    main()
