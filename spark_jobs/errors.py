"""What can go wrong in the transform.

TransformError
├── EngineError      the engine cannot be had or did not start
└── KpiOverflowError a KPI is larger than its column
"""


class TransformError(Exception):
    """Base of the errors whose message is for the user."""


class EngineError(TransformError):
    """The engine cannot be had or did not start."""


class KpiOverflowError(TransformError):
    """A KPI is larger than its column holds: subject, value and limit are in the message."""
