"""``python -m orchestrator.cli`` is ``orch``."""

# ruff: noqa: PTH109, PTH120 - importing pathlib here would search its modules in the current folder

import os
import sys

# Python searches modules in the current folder first, where any torch.py would replace torch. The folder stays only
# where this package itself lies there. Folders that PYTHONPATH names come later in the path, and stay.
if not sys.flags.safe_path and sys.path[0] == os.getcwd():
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    if os.path.realpath(sys.path[0]) != home:
        del sys.path[0]

from orchestrator.cli.main import main

main()
