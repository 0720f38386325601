"""What travels to a cluster, and what is refused before anything does."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from orchestrator.errors import StorageError
from orchestrator.runtime import preflight
from orchestrator.runtime.runtime_env import PACKAGE_DATA, check_storage_is_shared, entrypoint, environment, pack, stage
from orchestrator.spec.job import load_job, make_job
from orchestrator.state.ledger import COMMIT_VARIABLE, code_commit, provenance
from tests.jobs import raw_job

if TYPE_CHECKING:
    from orchestrator.spec.job import Job

ROOT = Path(__file__).parents[2]
SHARED = "s3://bucket/studies"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def job() -> Job:
    return make_job(raw_job("a"), "a.yaml")


def test_the_job_as_it_was_resolved_with_its_storage(out: Path) -> None:
    wide = make_job(job().resolved(), "a.yaml", ["grid.training.seed=[0, 1]", "storage=elsewhere"])
    working, _ = stage(pack(wide, SHARED), out)
    again = load_job(working / "job.yaml")
    assert [trial.id for trial in again.trials] == [trial.id for trial in wide.trials]
    assert again.header.storage == SHARED
    assert {path.name for path in working.iterdir()} == {"job.yaml", "launch.sh", "preflight.py"}


def test_the_whole_package_travels_and_works_by_itself(out: Path) -> None:
    _, package = stage(pack(job(), SHARED), out)
    there = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    tracked = subprocess.run(["git", "ls-files", "orchestrator"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert there >= {Path(name).relative_to("orchestrator") for name in tracked.stdout.split()}
    assert not [path for path in there if "__pycache__" in path.parts]
    command = [sys.executable, "-c", "import orchestrator.cli.main as main; print(main.__file__)"]
    ran = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(package / "cli" / "main.py")


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/prefix", "/data/results", "file:///data/results"])
def test_storage_that_nodes_can_share(uri: str) -> None:
    check_storage_is_shared(uri)


@pytest.mark.parametrize("uri", ["results", "./results", "~/results", "../results"])
def test_storage_that_nodes_cannot_share(uri: str) -> None:
    with pytest.raises(StorageError, match=f"^storage: got '{uri}', which a cluster's nodes do not share; expected "):
        check_storage_is_shared(uri)


def test_the_command_is_one_line_of_shell() -> None:
    line = entrypoint("2.60.0", ["submit", "job.yaml", "--address", "auto", "--set", "a b; rm -rf"])
    assert shlex.split(line)[:4] == ["exec", "sh", "launch.sh", "2.60.0"]
    assert shlex.split(line)[4:] == ["submit", "job.yaml", "--address", "auto", "--set", "a b; rm -rf"]


PRINTS_NOTHING, FAILS = "exit 0", "echo no >&2; exit 1"
FIT = f'exec {shlex.quote(sys.executable)} "$@"'


@pytest.mark.parametrize(
    ("of_ray", "on_path", "printed"),
    [
        # the Python of Ray comes before any on the PATH, whatever is there
        (FIT, FAILS, "orch 0"),
        (FIT, PRINTS_NOTHING, "orch 0"),
        # Ray's is not to be found, or not fit
        (None, FIT, "orch 0"),
        (FAILS, FIT, "orch 0"),
        (FAILS, PRINTS_NOTHING, "error: no Python on the cluster's head node has Ray (tried "),
        (None, FAILS, "error: no Python on the cluster's head node has Ray (tried "),
    ],
)
def test_the_python_that_runs_ray_runs_the_driver(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_ray: str | None, on_path: str, printed: str
) -> None:
    import ray

    working, _ = stage(pack(job(), SHARED), out)
    for name, text in (("path/python", on_path), ("path/python3", on_path), ("its own/python", of_ray)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text or FAILS}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # A raylet, whose child is the supervisor, whose child is the shell.
    supervisor = f"({entrypoint(ray.__version__, ['--version'])}); exit $?"
    raylet = ["sh", "-c", f"sh -c {shlex.quote(supervisor)}; exit $?", "raylet"]
    if of_ray is not None:
        worker = subprocess.list2cmdline([str(tmp_path / "its own/python"), "setup_worker.py", "a b"])
        raylet += ["--raylet_name=x", f"--python_worker_command={worker}", "--temp_dir=/tmp"]
    ran = subprocess.run(raylet, cwd=working, capture_output=True, text=True, check=False)
    assert (ran.stdout + ran.stderr).startswith(printed), ran
    assert (ran.stdout + ran.stderr).count("\n") == 1
    assert ran.returncode == (0 if printed.startswith("orch") else 2)


def test_nothing_of_this_machine_s_environment_travels_but_the_commit_of_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    told = environment("orch-a-1", "http://head:8265")
    assert set(told) == {"ORCH_SUBMISSION_ID", "ORCH_ADDRESS", "RAY_JOB_STOP_WAIT_TIME_S", COMMIT_VARIABLE}
    monkeypatch.setenv(COMMIT_VARIABLE, told[COMMIT_VARIABLE])
    known = provenance()
    assert code_commit(Path("/"))["git_commit"] == known["git_commit"] or not told[COMMIT_VARIABLE]
    assert "hush" not in str(told)


def test_the_packages_that_are_asked_for_are_those_that_are_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    imports = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "scikit-image": "skimage"}
    asked = {Requirement(text).name.lower() for text in project["dependencies"]}
    assert {imports.get(name, name) for name in asked} == set(preflight.NEEDED)
    assert project["requires-python"] == ">=" + ".".join(map(str, preflight.OLDEST))


def test_the_package_that_travels_is_that_which_is_installed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tool["setuptools"]["package-data"] == {"orchestrator": list(PACKAGE_DATA)}


def test_credentials_in_a_storage_s_name_do_not_travel() -> None:
    for uri in ("s3://key:hush@bucket/prefix", "https://key:hush@storage/x", "file://hush@host/x"):
        with pytest.raises(StorageError) as caught:
            pack(job(), uri)
        assert "hush" not in str(caught.value)


def test_this_python_is_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    assert preflight.unfit(ray.__version__) is None
    minor = ".".join(ray.__version__.split(".")[:2])
    assert preflight.unfit(f"{minor}.99") is None
    where = f"python on the cluster ({sys.executable}, {sys.version_info[0]}.{sys.version_info[1]})"
    assert preflight.unfit("2.9.3") == f"{where} has Ray {ray.__version__}, expected 2.9.3"
    monkeypatch.setattr(preflight, "NEEDED", ("ray", "no_such_one", "nor_this"))
    assert preflight.unfit("2.9.3") == f"{where} lacks no_such_one, nor_this; its image must hold all that orch needs"
    monkeypatch.setattr(preflight, "OLDEST", (3, 99))
    assert preflight.unfit("2.9.3") == f"{where} is too old, 3.99 or newer is needed"


def test_the_check_runs_alone_and_ends_with_exit_code_2(out: Path) -> None:
    working, _ = stage(pack(job(), SHARED), out)
    ran = subprocess.run(
        [sys.executable, "-I", "preflight.py", "1.0.0"], cwd=working, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("error: python on the cluster (")
