"""How a process that Ray starts uses its processors, its memory and its GPU: set once, before anything is computed."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from orchestrator.runtime.memory import keep_freed_memory, return_freed_memory

if TYPE_CHECKING:
    import torch


def set_up(device: torch.device, threads: int, gpu_share: float) -> None:
    """Set this process's threads, its arithmetic, and the most that it may take of a GPU's memory.

    ``gpu_share`` is its part of a GPU, 0 without one.
    """
    import torch

    torch.set_num_threads(threads)
    # Denormal numbers (below 1e-38) carry no information here, and processors are many times slower on them.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    choose_algorithms_by_rule()
    if device.type == "cuda" and gpu_share < 1:
        # Without it the first to grow leaves nothing to the others. Each process's CUDA context comes on top.
        torch.cuda.set_per_process_memory_fraction(gpu_share, device)


def choose_algorithms_by_rule() -> None:
    """Have cuDNN choose by rule, not by trying out, and among algorithms that always come to the same numbers.

    Trying out begins anew in each process and for each shape, also of samples and measures; it chooses by times, which
    on a shared GPU the neighbours decide; and each choice sums in another order. A trial that goes on elsewhere, or is
    run again, would come to other numbers. What it might save is little: the steps of these networks are bound by the
    launches of many small kernels.
    """
    import torch

    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def give_back_memory(device: torch.device) -> None:
    """Return the memory of networks that are gone, on host and GPU, where others can have it; torch would keep it."""
    import torch

    if device.type == "cuda":
        gc.collect()  # networks that are part of a cycle hold their memory until then
        torch.cuda.empty_cache()
    return_freed_memory()
