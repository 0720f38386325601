"""Rendezvous of a worker group on one machine through a file: torch's own method opens a port to everyone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

if TYPE_CHECKING:
    from ray.train._internal.base_worker_group import BaseWorkerGroup


class _FileBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: FileConfig) -> None:
        # A new file each time: torch would use the content of an old one.
        file = Path(backend_config.folder) / f"group-{uuid.uuid4().hex}"
        worker_group.execute(_set_torch_distributed_env_vars)
        ready = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend,
                world_rank=rank,
                world_size=len(worker_group),
                init_method=file.as_uri(),
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(ready)


@dataclass
class FileConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's TorchConfig with a file in ``folder``, which all processes share, as the process group's store.

    torch's TCPStore listens on every address of the machine, and serves anyone who connects.
    """

    folder: str = ""

    @property
    def backend_cls(self) -> type[_FileBackend]:
        """The backend with which Ray Train sets up the process group."""
        return _FileBackend
