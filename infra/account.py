"""What an account and region need once, for all their stages."""

import hashlib
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_ECS: Final = "ecs.amazonaws.com"
_ECS_ROLE: Final = "AWSServiceRoleForECS"


class AccountError(RuntimeError):
    """The bucket of the templates cannot be used; the message says what to change."""


def account_id(session: boto3.Session) -> str:
    account: str = session.client("sts").get_caller_identity()["Account"]
    return account


def create_service_linked_role(iam: Any) -> None:
    """Create the role with which ECS uses its capacity providers, unless it is there.

    The first cluster of an account cannot be created without it. CloudFormation cannot create it
    in a template: a second stack would fail, because the role exists.
    """
    try:
        iam.get_role(RoleName=_ECS_ROLE)
    except iam.exceptions.NoSuchEntityException:
        try:
            iam.create_service_linked_role(AWSServiceName=_ECS)
        except iam.exceptions.InvalidInputException as error:
            # Somebody else has created it since.
            if "has been taken" not in str(error):
                raise
        iam.get_waiter("role_exists").wait(RoleName=_ECS_ROLE)


def upload_template(session: boto3.Session, body: str) -> str:
    """Put a template where CloudFormation can read it, and return its URL.

    A request holds 51,200 bytes. The bucket stays: the name of a deleted one may not be free
    again for hours. Its objects expire after a day.
    """
    s3, region, account = session.client("s3"), session.region_name, account_id(session)
    bucket = f"ecommerce-kpi-templates-{account}-{region}"
    content = body.encode()
    key = f"{hashlib.sha256(content).hexdigest()}.json"
    _create_bucket(s3, bucket, account, region)
    # The name can be guessed, so somebody else might own it.
    s3.put_object(Bucket=bucket, Key=key, Body=content, ExpectedBucketOwner=account)
    return f"https://{bucket}.s3.{region}.amazonaws.com/{key}"


def _create_bucket(s3: "S3Client", bucket: str, account: str, region: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise AccountError(
                f"s3://{bucket}, for the templates, cannot be used ({error}): it belongs to another"
                " account, or the deployer lacks a permission (docs/deploy.md#the-deployer)"
            ) from error
    else:
        return
    # us-east-1 is the one region that may not be named.
    where: Any = {} if region == "us-east-1" else {"LocationConstraint": region}
    s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "templates",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "Expiration": {"Days": 1},
                }
            ]
        },
    )
