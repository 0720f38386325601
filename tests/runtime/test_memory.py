"""Memory that a process frees stays with it only once it is told to keep it, and goes back when it is told to."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource
import numpy as np
from orchestrator.runtime.memory import keep_freed_memory, return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [np.ones(2**23) for _ in range(4)]  # 4 times 64 MiB
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
kept, held = faults(), resident()
return_freed_memory()
print(json.dumps({"first": first, "kept": kept, "held": held, "given_back": held - resident()}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these settings")
def test_what_is_freed_is_taken_again_without_new_pages() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["kept"] < found["first"] / 10, found
    assert found["given_back"] > found["held"] / 2, found
