"""What is known of a run: how it ended, and the documents that its stages wrote."""

from dataclasses import dataclass
from typing import Self

from contract.manifest import Manifest
from contract.published import PublishedReport
from contract.verdict import Verdict

from ..aws.documents import Documents
from ..aws.run_table import State


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A document is None until its stage has written it."""

    run_id: str
    state: State
    cause: str | None = None
    manifest: Manifest | None = None
    verdict: Verdict | None = None
    published: PublishedReport | None = None

    @classmethod
    def read(
        cls, documents: Documents, run_id: str, state: State, cause: str | None = None
    ) -> Self:
        """Raises DocumentError for a document that cannot be read."""
        return cls(
            run_id=run_id,
            state=state,
            cause=cause,
            manifest=documents.manifest(run_id),
            verdict=documents.verdict(run_id),
            published=documents.published(run_id),
        )
