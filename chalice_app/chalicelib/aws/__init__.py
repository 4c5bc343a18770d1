"""Adapters of S3, DynamoDB and Step Functions. Their errors do not depend on the caller."""
