"""Which files may be those that make a run crash: kept between runs, and decided without AWS.

A run whose container crashes leaves its files in the landing folder. They are in the next batch
once more. Files that are in a second crash are suspects: batches leave them out, so that no later
delivery fails because of them, and each half of them is a batch of its own. A half that crashes
twice is halved again, and a file that crashes twice alone is the culprit, but only if another run
has succeeded since it was first alone: what makes every run crash is the fault of no file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

from contract import typed_json
from contract.manifest import FileVersion

_CRASHES: Final = 2
# Pauses double up to 2^8 times the first one: 21 hours after one of five minutes.
_MAX_DOUBLINGS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Files that were in the same crashes, in the order of their landing.

    ``apart``: they are a batch of their own, which has crashed ``crashes`` times.
    ``others_succeed``: another run has succeeded since then.
    """

    files: tuple[str, ...]
    crashes: int = 0
    apart: bool = False
    others_succeed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashedFiles:
    """``runs`` have crashed since the last success; ``crashed_at`` is the time of the latest."""

    groups: tuple[Group, ...] = ()
    runs: tuple[str, ...] = ()
    crashed_at: datetime | None = None

    @classmethod
    def from_json(cls, text: typed_json.JsonText) -> Self:
        return typed_json.from_json(cls, text)

    def to_json(self) -> str:
        return typed_json.to_json(self)

    def without_suspects(self, files: Iterable[FileVersion]) -> tuple[FileVersion, ...]:
        """Return the files that an ordinary batch may have."""
        apart = {file for group in self.groups if group.apart for file in group.files}
        return tuple(file for file in files if _identity(file) not in apart)

    def suspects_batch(
        self, files: Iterable[FileVersion], now: datetime, first_pause: timedelta
    ) -> tuple[FileVersion, ...]:
        """Return the suspects to try next, in the order of their keys; none during a pause.

        The pause doubles with each crash since the last success.
        """
        if self.crashed_at is not None and self.runs:
            doublings = min(max(len(self.runs) - _CRASHES, 0), _MAX_DOUBLINGS)
            if now < self.crashed_at + first_pause * 2**doublings:
                return ()
        here = {_identity(file): file for file in files}
        for group in self.groups:
            if group.apart and (found := [here[file] for file in group.files if file in here]):
                return tuple(sorted(found, key=lambda file: file.key))
        return ()

    def after_crash(self, run_id: str, files: Sequence[FileVersion], at: datetime) -> Self:
        """Return what is known once a run has crashed on these files, which are still waiting.

        Repeating it for the same run changes nothing.
        """
        if run_id in self.runs:
            return self
        in_order = sorted(files, key=lambda file: (file.landed_at, file.key))
        crashed = [_identity(file) for file in in_order]
        waiting, tried = [], []
        for group in self.groups:
            hit = tuple(file for file in group.files if file in crashed)
            if group.apart and len(hit) == len(crashed):
                tried += _tried(replace(group, files=hit, crashes=group.crashes + 1))
            elif hit and not group.apart:
                left = tuple(file for file in group.files if file not in hit)
                waiting += [replace(group, files=left)] if left else []
                tried += _halves(hit)
            else:
                waiting.append(group)
        known = {file for group in self.groups for file in group.files}
        new = tuple(file for file in crashed if file not in known)
        first = [Group(files=new, crashes=1)] if new else []
        # What was tried now comes last, so that a success of the others is seen early.
        return replace(
            self, groups=(*waiting, *tried, *first), runs=(*self.runs, run_id), crashed_at=at
        )

    def after_success(self, files: Iterable[FileVersion]) -> Self:
        """Return what is known once a run has succeeded with these files."""
        gone = {_identity(file) for file in files}
        left = (
            replace(
                group,
                files=tuple(file for file in group.files if file not in gone),
                others_succeed=group.apart,
            )
            for group in self.groups
        )
        return replace(self, groups=tuple(group for group in left if group.files), runs=())

    def culprit(self, files: Iterable[FileVersion]) -> FileVersion | None:
        """Return the file that is found to make runs crash, if there is one."""
        found = {
            group.files[0]
            for group in self.groups
            if group.apart
            and len(group.files) == 1
            and group.crashes >= _CRASHES
            and group.others_succeed
        }
        return next((file for file in files if _identity(file) in found), None)

    def without(self, gone: FileVersion) -> Self:
        kept = (group for group in self.groups if group.files != (_identity(gone),))
        return replace(self, groups=tuple(kept))


def _tried(group: Group) -> list[Group]:
    if group.crashes < _CRASHES or len(group.files) == 1:
        return [group]
    return _halves(group.files)


def _halves(files: Sequence[str]) -> list[Group]:
    middle = (len(files) + 1) // 2
    halves = (tuple(files[:middle]), tuple(files[middle:]))
    return [Group(files=half, apart=True) for half in halves if half]


def _identity(file: FileVersion) -> str:
    return f"{file.key} {file.version_id or file.etag}"
