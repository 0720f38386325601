"""``python -m orchestrator.cli`` is ``orch``."""

from orchestrator.cli.main import main

main()
