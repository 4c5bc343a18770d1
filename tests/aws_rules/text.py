"""A template's values as CloudFormation would spell them out, at their longest."""

import re
from collections.abc import Mapping
from typing import Any

# The longest that each may be. A region's name has at most 14 characters where this is deployed.
LONGEST = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "ap-southeast-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "Stage": "s" * 16,
    "NameSuffix": "-" + "s" * 16,
}


def spelt_out(
    value: Any, known: Mapping[str, str] = LONGEST, *, conditions_hold: bool = False
) -> Any:
    """Return a part of a template with its references as text.

    A reference to a resource becomes its logical name, an attribute an ARN that ends with
    ``Name.Attribute``, and Fn::If one of its two values.
    """

    def inner(part: Any) -> Any:
        return spelt_out(part, known, conditions_hold=conditions_hold)

    match value:
        case {"Ref": str() as name}:
            return known.get(name, name)
        case {"Fn::GetAtt": [str() as name, str() as attribute]}:
            return f"arn:aws:service:::{name}.{attribute}"
        case {"Fn::Sub": str() as text}:
            return re.sub(r"\$\{([\w.:]+)\}", lambda found: known.get(found[1], found[1]), text)
        case {"Fn::If": [_, then, otherwise]}:
            return inner(then if conditions_hold else otherwise)
        case dict():
            return {key: inner(found) for key, found in value.items()}
        case list():
            return [inner(found) for found in value]
    return value
