"""orch: studies of generative adversarial networks as batch jobs."""

__version__ = "0.1.0"
