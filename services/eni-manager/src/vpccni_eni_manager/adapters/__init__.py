"""Effects: EC2 through boto3, instance metadata, files. The only place that knows boto3."""
