"""The trigger's code. Standard library and boto3 only: all of it is shipped to Lambda."""
