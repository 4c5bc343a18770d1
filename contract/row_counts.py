"""What became of the rows of a delivery, once its run has ended.

The validator judges before the commit, from the ids that it can look up. The commit to the ledger
knows which lines wait for a parent, so its counts replace those of the verdict where they exist.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from .published import PublishedReport
from .verdict import HELD_BACK, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """``reasons`` counts the rows that are not accepted by reason, the most frequent first."""

    outcome: Outcome
    accepted: int
    quarantined: int
    held: int
    reasons: Mapping[str, int]

    @classmethod
    def of(cls, verdict: Verdict, published: PublishedReport | None) -> Self:
        totals = verdict.totals
        reasons: Counter[str] = Counter()
        for file in verdict.files:
            reasons.update(file.reasons)
        held, outcome = totals.held_rows, verdict.outcome
        if published is not None and published.delivery_held_lines is not None:
            held = published.delivery_held_lines
            for reason in HELD_BACK:
                reasons[reason] = published.delivery_held_reasons.get(reason, 0)
            if outcome != "all_rejected":
                is_whole = not (totals.rejected_files or totals.quarantined_rows or held)
                outcome = "accepted" if is_whole else "partly_accepted"
        ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls(
            outcome=outcome,
            accepted=totals.accepted_rows + totals.held_rows - held,
            quarantined=totals.quarantined_rows,
            held=held,
            reasons={reason: count for reason, count in ordered if count},
        )

    @property
    def held_back(self) -> Mapping[str, int]:
        """The lines that wait, by the parent that they wait for; a line may wait for both."""
        return {
            parent: self.reasons[reason]
            for reason, parent in HELD_BACK.items()
            if reason in self.reasons
        }
