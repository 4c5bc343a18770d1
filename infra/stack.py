"""One CloudFormation stack: the exact change before it is made, the change, and its end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from botocore.exceptions import ClientError, WaiterError

# What CloudFormation says when a change set would change nothing.
_NO_CHANGES: Final = ("didn't contain changes", "No updates are to be performed")
# A stack that has never been anything but planned, or that must be deleted to be made again.
_PLANNED: Final = "REVIEW_IN_PROGRESS"
_DEAD: Final = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
_SIGNS: Final = {"Add": "+", "Modify": "~", "Remove": "-", "Import": "<", "Dynamic": "?"}


class StackError(RuntimeError):
    """CloudFormation has refused or failed; the message has its reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One resource that changes. ``details`` are the properties because of which it does."""

    action: str
    resource: str
    kind: str
    replaced: bool
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = f"  ({', '.join(self.details)})" if self.details else ""
        replaced = "  REPLACED" if self.replaced else ""
        return f"{_SIGNS.get(self.action, '?')} {self.resource:<24} {self.kind}{why}{replaced}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change set, to be applied or dropped; without changes it is gone already."""

    change_set: str
    is_new: bool
    changes: Sequence[Change] = ()


class Stack:
    def __init__(self, cloudformation: Any, name: str, *, pause: int = 5) -> None:
        """``pause`` is the number of seconds between two polls of CloudFormation."""
        self._cloudformation = cloudformation
        self._pause = pause
        self.name = name

    def status(self) -> str | None:
        """Return CREATE_COMPLETE, …, or None when there is no such stack."""
        found = self._describe()
        return None if found is None else found["StackStatus"]

    def outputs(self) -> dict[str, str]:
        found = self._describe() or {}
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        found = self._describe() or {}
        return {
            parameter["ParameterKey"]: parameter["ParameterValue"]
            for parameter in found.get("Parameters", [])
        }

    def resources(self) -> dict[str, str]:
        """Return the physical ids of what the stack has made, by logical name."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=self.name
        )
        return {
            resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
            for page in pages
            for resource in page["StackResourceSummaries"]
        }

    def plan(
        self,
        template_url: str,
        parameters: Mapping[str, str],
        *,
        tags: Mapping[str, str],
        at: datetime,
    ) -> Plan:
        """Ask CloudFormation what a template would change. Nothing changes yet.

        Raises:
            StackError: the stack is in a state that takes no change, or the template is wrong.
        """
        status = self.status()
        if status in _DEAD:
            raise StackError(
                f"{self.name} is {status} and takes no changes: take it down (make destroy), "
                "then deploy again"
            )
        is_new = status in {None, _PLANNED}
        name = f"deploy-{at:%Y%m%d-%H%M%S}"
        self._cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if is_new else "UPDATE",
            TemplateURL=template_url,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        plan = Plan(change_set=name, is_new=is_new)
        try:
            self._wait("change_set_create_complete", ChangeSetName=name)
        except WaiterError as error:
            answer: Any = error.last_response
            self.drop(plan)
            reason = str(answer.get("StatusReason", error))
            if any(words in reason for words in _NO_CHANGES):
                return plan
            raise StackError(f"{self.name}: no change set: {reason}") from error
        return replace(plan, changes=tuple(self._changes(name)))

    def apply(self, plan: Plan) -> None:
        """Make the changes and wait for them.

        Raises:
            StackError: CloudFormation has rolled them back.
        """
        self._cloudformation.execute_change_set(StackName=self.name, ChangeSetName=plan.change_set)
        try:
            self._wait("stack_create_complete" if plan.is_new else "stack_update_complete")
        except WaiterError as error:
            raise StackError(f"{self.name}: rolled back\n{self._reasons()}") from error

    def drop(self, plan: Plan) -> None:
        """Leave no trace: neither the change set nor the stack that only it has made."""
        self._cloudformation.delete_change_set(StackName=self.name, ChangeSetName=plan.change_set)
        if plan.is_new:
            self._cloudformation.delete_stack(StackName=self.name)

    def missing(self, plan: Plan) -> list[Change]:
        """Return what was to be added and is not there: what this AWS cannot make."""
        there = self.resources()
        return [
            change
            for change in plan.changes
            if change.action == "Add" and change.resource not in there
        ]

    def delete(self) -> None:
        self._cloudformation.delete_stack(StackName=self.name)
        try:
            self._wait("stack_delete_complete")
        except WaiterError as error:
            raise StackError(f"{self.name}: not deleted\n{self._reasons()}") from error

    def _changes(self, change_set: str) -> Iterator[Change]:
        pages = self._cloudformation.get_paginator("describe_change_set").paginate(
            StackName=self.name, ChangeSetName=change_set
        )
        for page in pages:
            for found in page["Changes"]:
                yield _change(found["ResourceChange"])

    def _describe(self) -> Any:
        try:
            return self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            # The only way in which CloudFormation says that a stack does not exist.
            if "does not exist" in str(error):
                return None
            raise

    def _wait(self, waiter: Any, **arguments: str) -> None:
        self._cloudformation.get_waiter(waiter).wait(
            StackName=self.name,
            WaiterConfig={"Delay": self._pause, "MaxAttempts": 3600 // max(self._pause, 1)},
            **arguments,
        )

    def _reasons(self) -> str:
        """Return what went wrong last, one resource a line, the first failure first."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(
            StackName=self.name
        )
        failed = (
            f"  {event.get('LogicalResourceId')}: {event.get('ResourceStatusReason', '')}"
            for page in pages
            for event in page["StackEvents"]
            if event.get("ResourceStatus", "").endswith("_FAILED")
        )
        # The newest event comes first.
        return "\n".join(reversed(list(islice(failed, 20))))


def _change(found: Any) -> Change:
    names = {
        detail["Target"].get("Name") or detail["Target"].get("Attribute", "")
        for detail in found.get("Details", [])
        if "Target" in detail
    }
    return Change(
        action=found["Action"],
        resource=found["LogicalResourceId"],
        kind=found["ResourceType"],
        replaced=found.get("Replacement") == "True",
        details=tuple(sorted(names - {""})),
    )
