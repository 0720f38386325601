"""How the processes of a worker group become torch's default process group; only they import torch."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.train.backend import Backend, BackendConfig

if TYPE_CHECKING:
    from collections.abc import Callable


class _ProcessGroupBackend(Backend):  # type: ignore[misc]
    share_cuda_visible_devices = True  # NCCL copies from GPU to GPU of one machine only where each process sees both

    def on_start(self, worker_group: Any, backend_config: ProcessGroupConfig) -> None:
        if backend_config.folder:
            # A new file each time: torch would use the content of an old one.
            url = Path(backend_config.folder, f"group-{uuid.uuid4().hex}").as_uri()
        else:
            url = worker_group.execute_single(0, _free_url)
        size = len(worker_group)
        start: Callable[..., Any] = worker_group.execute_single_async
        ray.get([start(rank, _join, backend_config.backend, url, rank, size) for rank in range(size)])


@dataclass
class ProcessGroupConfig(BackendConfig):  # type: ignore[misc]
    """torch's process group over ``backend``, as Ray Train's own TorchConfig sets it up, but for two things.

    TorchConfig makes every process that reads it import torch: the one that asks for the group, and Ray Train's
    controller, two seconds each. And torch's TCPStore listens on every address of the machine and serves anyone who
    connects: where all processes share a ``folder``, a file in it serves as the process group's store.
    """

    backend: str = "gloo"
    folder: str = ""

    @property
    def backend_cls(self) -> type[_ProcessGroupBackend]:
        """The backend with which Ray Train sets up the process group."""
        return _ProcessGroupBackend


def _free_url() -> str:
    """Where the first process's store can listen: this node's address, and a port that nobody has just now."""
    address = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]
    return f"tcp://[{address}]:{port}" if family == socket.AF_INET6 else f"tcp://{address}:{port}"


def _join(backend: str, url: str, rank: int, size: int) -> None:
    from torch import distributed

    # Where a process has gone, torch's watchdog ends those that wait for it, once the timeout is over.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    distributed.init_process_group(backend, init_method=url, rank=rank, world_size=size)
