"""What must still be there after a power cut: a file that is new has its name on the disk as well as its bytes."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from portal import vault
from portal.audit import _sending, keys, pushing, sealing
from portal.audit.services import record
from portal.chat import spool


def _key(folder: Path) -> Path:
    vault.make_key(folder / "secret.key")
    return folder / "secret.key"


def _another_audit_key(folder: Path) -> Path:
    with keys.exchanged() as exchange:
        exchange.put()
    return folder / "audit.key"


def _checkpoint(folder: Path) -> Path:
    with transaction.atomic():
        record("x.happened", actor="system")
    sealing.seal("minute")
    pushing._into(folder)(_sending.checkpoints(0, 1))
    return next(folder.glob("havre-*.json"))


def _card(folder: Path) -> Path:
    with override_settings(HAVRE_DATA_DIR=folder.parent.parent):
        spool.keep("one", {"person": 1})
    return next(folder.glob("one.*"))


@pytest.mark.parametrize("write", [_key, _another_audit_key, _checkpoint, _card])
def test_the_name_of_a_new_file_is_on_the_disk(
    db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    tmp_path = tmp_path / "spool" / "cards"
    tmp_path.mkdir(parents=True)
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "audit.key"
    keys.make()
    named: list[set[str]] = []
    force = os.fsync

    def watched(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            assert os.fstat(descriptor).st_ino == tmp_path.stat().st_ino
            named.append({one.name for one in tmp_path.iterdir()})
        force(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    written = write(tmp_path)
    assert named, "the folder was never forced to the disk"
    assert written.name in named[-1]
