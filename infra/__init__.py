"""What runs in AWS: the template, how it is deployed, and how it is taken down."""
