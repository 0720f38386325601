"""What doctor checks of a Slurm: commands, controller, partition, GPUs, and what its nodes see."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.cli.findings import Finding
from orchestrator.errors import ClusterError
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.store.location import Store

    Options = Mapping[str, str | int | bool]

_COMMANDS = ("sbatch", "srun", "scancel", "scontrol", "squeue", "sinfo")
_BEGIN_S, _ANSWER_S = 20, 120.0
"""How long a node may take to be free, and then to read Python and torch from a shared file system."""
_OF_TASK = re.compile(r"; \S+: task 0: .*")
"""What srun adds to the words of what it has run."""
_NO_PYTHON = "has no such Python"
_ON_NODE = """\
[ -x "$1" ] || { echo "$(hostname) %s" >&2; exit 2; }
exec "$1" -P -c '
import sys
from orchestrator.errors import OrchError
from orchestrator.store.open import open_store
try:
    store = open_store(sys.argv[1])
    seen = store.exists(sys.argv[2])
    store.check()
except OrchError as error:
    sys.exit(str(error))
sys.exit(None if seen else sys.argv[1] + " is another folder there than here")
' "$2" "$3"
"""


def slurm_checks(options: Options, store: Store) -> list[tuple[str, Callable[[], Finding]]]:
    """The checks of a Slurm, for jobs with these options for sbatch and their storage, which is checked first."""
    return [
        ("sbatch", _commands),
        ("controller", _controller),
        ("partition", partial(_partition, options)),
        ("gres", partial(_gres, options)),
        ("nodes", partial(_nodes, options, store)),
    ]


def _commands() -> Finding:
    from orchestrator.runtime.slurm_commands import ask

    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing:
        return Finding(False, f"not on the PATH: {', '.join(missing)}; give the command on a login node of the cluster")
    return Finding(True, ask(["sbatch", "--version"]).strip())


def _controller() -> Finding:
    from orchestrator.runtime.slurm_commands import ask

    said = "; ".join(ask(["scontrol", "ping"], errors_too=True).split("\n")).strip("; ")
    remedy = "; ask the cluster's administrators, or wait: a controller comes back"
    return Finding(" is UP" in said, said if " is UP" in said else f"{said}{remedy}")


def _partition(options: Options) -> Finding:
    from orchestrator.runtime.slurm_partitions import fitting, read_partitions

    partitions = read_partitions()
    partition, nodes = fitting(options, partitions)
    others = ", ".join(other.name for other in partitions if other is not partition)
    more = f"; there are {others} too" if others else ""
    return Finding(True, f"{partition.name}: {plural(len(nodes), 'node')} can hold what is asked for{more}")


def _gres(options: Options) -> Finding:
    from orchestrator.runtime.slurm_partitions import fitting, read_partitions

    partitions = read_partitions()
    partition, nodes = fitting(options, partitions)
    most = max(nodes, key=lambda node: node.count_gpus())
    if most.count_gpus():
        kinds = ", ".join(dict.fromkeys(kind for node in nodes for kind, _ in node.gpus if kind))
        return Finding(True, f"up to {plural(most.count_gpus(), 'GPU')} a node{f' ({kinds})' if kinds else ''}")
    having = [one.name for one in partitions if any(node.count_gpus() for node in one.nodes)]
    remedy = f"; --partition {having[0]} has some" if having else ": trials train on the CPU"
    return Finding(False, f"no GPUs in partition {partition.name}{remedy}", extra=True)


def _nodes(options: Options, store: Store) -> Finding:
    """Run Python on a node for some seconds; it looks for a file in storage that this machine has written."""
    from orchestrator.runtime.slurm_commands import ask

    here = {name: options[name] for name in ("partition", "account", "qos", "constraint") if name in options}
    command = ["srun", "--quiet", "--ntasks=1", "--nodes=1", "--time=3", "--job-name=orch-doctor"]
    command += [f"--immediate={_BEGIN_S}", *(f"--{name}={value}" for name, value in here.items())]
    mark = f".doctor-{secrets.token_hex(8)}"
    store.write(mark, b"")
    try:
        ask(
            [*command, "/bin/sh", "-c", _ON_NODE % _NO_PYTHON, "sh", sys.executable, store.uri, mark],
            answer_s=_ANSWER_S,
        )
    except ClusterError as error:
        return _explained(_OF_TASK.sub("", str(error)).removeprefix("srun: "))
    finally:
        store.delete(mark)
    return Finding(True, f"a node runs {sys.executable}, imports orch, and sees {store.uri}")


def _explained(problem: str) -> Finding:
    """The remedy, by what srun has said; a job that found no node or was not allowed says nothing of the nodes."""
    if _NO_PYTHON in problem:
        return Finding(False, f"{problem}, {sys.executable}; install orch where the nodes see it, as in your home")
    if "is another folder" in problem:
        return Finding(False, f"{problem}; take --storage on a file system that the nodes share, or s3://bucket/prefix")
    if any(sign in problem for sign in ("Unable to allocate", "allocation failure", "no answer in")):
        return Finding(False, f"not tried on a node: {problem}", extra=True)
    return Finding(False, f"{problem}; the nodes must see this Python and this storage")
