"""Evaluates the policies of a role, as IAM does."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionCheck:
    """An action on a resource. ``context`` has the condition keys of the request."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, action: str, resource: str, **context: str) -> "PermissionCheck":
        keys = {key.replace("__", ":"): value for key, value in context.items() if value}
        return cls(action=action, resource=resource, context=tuple(sorted(keys.items())))


class UnknownConditionError(NotImplementedError):
    """A policy has a condition that is not implemented here."""


def allows(statements: Iterable[Mapping[str, Any]], check: PermissionCheck) -> bool:
    """Return whether a statement allows it and no statement denies it."""
    effects = {statement["Effect"] for statement in statements if _applies(statement, check)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], check: PermissionCheck) -> bool:
    return (
        any(_matches(action.lower(), check.action.lower()) for action in _list(statement["Action"]))
        and any(_matches(resource, check.resource) for resource in _list(statement["Resource"]))
        and _holds(statement.get("Condition", {}), dict(check.context))
    )


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            match operator:
                case "StringEquals":
                    holds = context.get(key) in _list(wanted)
                case "StringLike" | "ArnEquals" | "ArnLike":
                    holds = key in context and any(
                        _matches(pattern, context[key]) for pattern in _list(wanted)
                    )
                case _:
                    raise UnknownConditionError(
                        f"{operator} of {key}: add the operator to {__name__}"
                    )
            if not holds:
                return False
    return True


def _matches(pattern: str, value: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
