"""``python -m orchestrator.cli`` is ``orch``."""

# ruff: noqa: PTH109, PTH120 - pathlib is not loaded yet, and what it needs would be looked for in the current folder

import os
import sys

# Python looks for modules in the current folder first, where any torch.py would take torch's place. That is wanted
# only where this package itself lies there. Folders that PYTHONPATH names come later in the path, and stay.
if not sys.flags.safe_path and sys.path[0] == os.getcwd():
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    if os.path.realpath(sys.path[0]) != home:
        del sys.path[0]

from orchestrator.cli.main import main

main()
