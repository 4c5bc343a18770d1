"""Service descriptions that boto3 reads for its first clients: once here, not in every fork."""

import boto3

for service in ("s3", "dynamodb", "stepfunctions"):
    boto3.client(service, region_name="eu-north-1")
