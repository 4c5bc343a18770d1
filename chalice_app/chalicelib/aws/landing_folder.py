"""The landing folder: what is in it, and how a claimed version is moved out of it.

A version is copied, then deleted by its version id. A newer version under the same key stays, and
the next run claims it. An older one is listed once the newer has been moved.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from contract.file_names import FileNames, PatternError
from contract.keys import MAPPING
from contract.manifest import FileVersion

from ..settings import Settings, SettingsError
from .bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_MOVES_AT_ONCE: Final = 16


class MoveError(RuntimeError):
    """A claimed version is neither in the landing folder nor where it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The current versions of the datasets' files, and which of the trigger's own keys exist.

    No run claims a file of ``not_recognised``: its name is of no dataset, or too long.
    ``mappings`` has the text of the mapping that is set, by the id that the files have.
    """

    files: tuple[FileVersion, ...]
    not_recognised: tuple[FileVersion, ...] = ()
    has_lock: bool = False
    has_waiting: bool = False
    mappings: Mapping[str, str] = field(default_factory=dict)


class LandingFolder:
    def __init__(self, s3: "S3Client", settings: Settings) -> None:
        self._bucket = Bucket(s3, settings.bucket)
        self._settings = settings

    @property
    def prefix(self) -> str:
        return self._settings.prefix

    def list(self) -> Listing:
        """List the landing folder, all pages of it, with version ids.

        Raises SettingsError when the mapping's file names cannot be used.
        """
        mapping, names, mapping_id = self._mapping()
        own = {self._settings.lock_key, self._settings.waiting_key}
        versions = [*self._bucket.versions(self.prefix)]
        older = Counter(_second(version) for version in versions if not version["IsLatest"])
        present: set[str] = set()
        files: list[FileVersion] = []
        others: list[FileVersion] = []
        for version in versions:
            if not version["IsLatest"]:
                continue
            if version["Key"] in own:
                present.add(version["Key"])
            # A key that ends with a slash is a folder that a console made.
            elif not version["Key"].endswith("/"):
                file = _file_version(version, self.prefix, rank=older[_second(version)])
                if names.recognise(file.name) is None:
                    others.append(file)
                else:
                    mapped = names.dataset_of(file.name) if mapping_id else None
                    files.append(replace(file, mapping=mapping_id, mapped_dataset=mapped))
        return Listing(
            files=tuple(files),
            not_recognised=tuple(others),
            has_lock=self._settings.lock_key in present,
            has_waiting=self._settings.waiting_key in present,
            mappings=mapping,
        )

    def _mapping(self) -> tuple[Mapping[str, str], FileNames, str | None]:
        """Return the text of the mapping by its id, its patterns, and the id."""
        found = self._bucket.get(MAPPING)
        if found is None:
            return {}, FileNames(), None
        try:
            text = found.body.decode()
            names = FileNames.of_mapping(text)
        except (UnicodeDecodeError, PatternError) as error:
            raise SettingsError(f"{MAPPING}: {error}; then upload it again") from error
        mapping_id = hashlib.sha256(found.body).hexdigest()[:16]
        return {mapping_id: text}, names, mapping_id

    def remaining(self, files: Iterable[FileVersion]) -> tuple[FileVersion, ...]:
        """Return those versions that are still in the folder, overwritten ones included."""
        here = {
            (version["Key"], version["VersionId"], version["ETag"].strip('"'))
            for version in self._bucket.versions(self.prefix)
        }
        return tuple(
            file for file in files if (file.key, file.version_id or "null", file.etag) in here
        )

    def move(self, run_id: str, moves: Iterable[tuple[FileVersion, str]]) -> int:
        """Move each version to its key; return how many there were. Repeating it is harmless."""
        with ThreadPoolExecutor(_MOVES_AT_ONCE) as pool:
            return sum(pool.map(lambda move: self._move(run_id, *move), moves))

    def _move(self, run_id: str, file: FileVersion, to: str) -> bool:
        if not self._bucket.copy(file, to):
            if not self._bucket.exists(to):
                raise MoveError(
                    f"{file.key} (version {file.version_id}) is gone and {to} does not exist: "
                    "restore the object from its backup, then start the pipeline again"
                )
            return False
        # Without versioning, the ETag tells whether a newer upload has replaced the file.
        if_match = "" if file.version_id else f'"{file.etag}"'
        if not self._bucket.delete(file.key, version_id=file.version_id, if_match=if_match):
            fields = {"run_id": run_id, "key": file.key}
            log.warning("overwritten while it was moved, stays", extra=fields)
        return True


def pinned_id(version: Any) -> str | None:
    """Return a listed version's id; "null" is what S3 lists in a bucket without versioning."""
    return None if version["VersionId"] == "null" else str(version["VersionId"])


def _second(version: Any) -> tuple[Any, Any]:
    return version["Key"], version["LastModified"]


def _file_version(version: Any, prefix: str, *, rank: int) -> FileVersion:
    """Return a listed version; ``rank`` counts the older ones of its name in the same second."""
    return FileVersion(
        key=version["Key"],
        name=version["Key"].removeprefix(prefix),
        version_id=pinned_id(version),
        etag=version["ETag"].strip('"'),
        size=version["Size"],
        landed_at=version["LastModified"].astimezone(UTC) + timedelta(microseconds=rank),
    )
