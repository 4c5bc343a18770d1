"""The errors of the transform, whose messages are for the user.

TransformError
├── EngineError      the engine is not available or did not start
├── KpiOverflowError a KPI is larger than its column
├── LedgerError      the ledger can't be read or written
│   └── LedgerConflictError   another run has written to it at the same time
├── RunError         a run's manifest, verdict or accepted rows can't be used
├── SettingsError    a setting is missing
└── PublishError     DynamoDB does not hold what was written
    └── SupersededError   a newer ledger version is published, or will be
"""


class TransformError(Exception):
    """Base of the errors of the transform."""


class RunError(TransformError):
    """A run's manifest, verdict or accepted rows can't be used."""


class SettingsError(TransformError):
    """A setting is missing; the message names it."""


class LedgerError(TransformError):
    """The ledger can't be read or written."""


class LedgerConflictError(LedgerError):
    """Another run has written to the ledger at the same time: read it again."""


class PublishError(TransformError):
    """DynamoDB does not hold what was written."""


class SupersededError(PublishError):
    """A newer ledger version is published, or will be: this run has nothing left to do."""


class EngineError(TransformError):
    """The engine is not available or did not start."""


class KpiOverflowError(TransformError):
    """A KPI is larger than its column holds: subject, value and limit are in the message."""
