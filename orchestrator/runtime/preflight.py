"""Checks whether the Python that runs this can run ``orch``: sent to a cluster as a file, used before the package.

    python preflight.py RAY_VERSION

Imports nothing of ours, and uses the syntax of Python 3.7.
"""

from __future__ import annotations

import importlib.util
import sys

NEEDED = (
    *("aiohttp", "boto3", "duckdb", "jinja2", "matplotlib", "numpy", "pandas", "PIL", "psutil", "pyarrow", "pydantic"),
    *("yaml", "ray", "rich", "safetensors", "scipy", "skimage", "sklearn", "torch", "torchvision", "typer"),
)
"""Modules of the packages that pyproject.toml asks for."""
OLDEST = (3, 11)


def unfit(ray_version: str) -> str | None:
    """Why this Python cannot run ``orch`` for a client with this version of Ray; None where it can."""
    where = f"python on the cluster ({sys.executable}, {_dotted(sys.version_info[:2])})"
    if sys.version_info[:2] < OLDEST:
        return f"{where} is too old, {_dotted(OLDEST)} or newer is needed"
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"{where} lacks {', '.join(missing)}; its image must hold all that orch needs"
    import ray

    if ray.__version__.split(".")[:2] != ray_version.split(".")[:2]:
        return f"{where} has Ray {ray.__version__}, expected {ray_version}"
    return None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


if __name__ == "__main__":
    problem = unfit(sys.argv[1])
    if problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(2)
