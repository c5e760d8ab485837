"""The EC2 API on top of the model: actions by name, parameters and results as botocore's model names them."""
