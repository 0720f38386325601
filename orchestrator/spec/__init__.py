"""From YAML to frozen settings and content hashes."""
