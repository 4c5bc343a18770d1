"""The monthly budget of the account, and who gets its warnings.

It is created through the API of AWS Budgets, which is one for all regions: CloudFormation knows
no AWS::Budgets::Budget in eu-north-1, and refuses a template with an unknown type even where the
resource's condition is false. A budget by tag would need that tag activated by hand in the
billing console, so the budget counts the whole account.
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """``limit_usd`` is a whole number of US dollars a month; without ``email`` there is none."""

    account: str
    name: str
    limit_usd: str
    email: str


def put(client: Any, budget: Budget, *, changed: bool) -> None:
    """Make the account's budget of that name this one.

    An unchanged budget is left alone: a new one would send the month's warnings again.
    """
    there = _exists(client, budget)
    if there and (changed or not budget.email):
        delete(client, account=budget.account, name=budget.name)
        there = False
    if there or not budget.email:
        return
    client.create_budget(
        AccountId=budget.account,
        Budget={
            "BudgetName": budget.name,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": budget.limit_usd, "Unit": "USD"},
        },
        NotificationsWithSubscribers=[
            {
                "Notification": {
                    "NotificationType": kind,
                    "ComparisonOperator": "GREATER_THAN",
                    "Threshold": percent,
                },
                "Subscribers": [{"SubscriptionType": "EMAIL", "Address": budget.email}],
            }
            for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
        ],
    )


def delete(client: Any, *, account: str, name: str) -> None:
    """Delete a budget, if it is there."""
    try:
        client.delete_budget(AccountId=account, BudgetName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise


def _exists(client: Any, budget: Budget) -> bool:
    try:
        client.describe_budget(AccountId=budget.account, BudgetName=budget.name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        return False
    return True
