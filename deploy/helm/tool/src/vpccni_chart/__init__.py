"""Makes what the chart takes from the services' code: files/settings.json, values.schema.json, the manifest, the IAM page."""
