"""template.yaml as CloudFormation gets it.

It is sent as JSON, in the request itself if it fits; comments, descriptions and what only
linters read stay in the repository. A larger one is read from a bucket that exists for the
moment: the stack's own comes only with the stack.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from chalice.package import YAMLTemplateSerializer

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
TEMPLATE: Final = Path(__file__).with_name("template.yaml")
MACHINE: Final = PROJECT_ROOT / "statemachine.asl.json"
# What a request may hold.
MAX_BYTES: Final = 51_200


def load() -> dict[str, Any]:
    """Return template.yaml with its functions spelt out: ``{"Ref": …}``, ``{"Fn::Sub": …}``."""
    document: dict[str, Any] = YAMLTemplateSerializer().load_template(
        TEMPLATE.read_text(encoding="utf-8"), TEMPLATE.name
    )
    return document


def render() -> str:
    """Return the template with the state machine in it."""
    document = load()
    for part in (*document["Parameters"].values(), *document["Resources"].values()):
        part.pop("Description", None)
        part.pop("Metadata", None)
    # Not as an object: CloudFormation takes no null, and the machine's ResultPath needs it.
    document["Resources"]["Machine"]["Properties"]["DefinitionString"] = _compact(machine())
    return _compact(document)


@contextmanager
def sent(body: str, session: boto3.Session) -> Iterator[dict[str, str]]:
    """Give the argument with which CloudFormation finds the template."""
    if len(body.encode()) <= MAX_BYTES:
        yield {"TemplateBody": body}
        return
    s3, region = session.client("s3"), session.region_name
    account = session.client("sts").get_caller_identity()["Account"]
    bucket, key = f"ecommerce-kpi-template-{account}-{region}", "template.json"
    # us-east-1 is the one region that may not be named.
    where: Any = {} if region == "us-east-1" else {"LocationConstraint": region}
    s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
        yield {"TemplateURL": f"https://{bucket}.s3.{region}.amazonaws.com/{key}"}
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
        s3.delete_bucket(Bucket=bucket)


def machine() -> dict[str, Any]:
    """Return the state machine without its comments."""
    document: dict[str, Any] = json.loads(MACHINE.read_text(encoding="utf-8"))
    for state in (document, *document["States"].values()):
        state.pop("Comment", None)
    return document


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
