"""Removing a job, trials or checkpoints: only what is this program's, whole or to be gone on with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import StorageUnavailable
from orchestrator.state.layout import is_ours, trial_in
from orchestrator.state.removal import files_of_job, files_of_trials, remove, remove_trials, spare_checkpoints
from orchestrator.store.local import LocalStore
from orchestrator.store.s3 import S3Store
from tests.state.breaking import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.location import Store

A, B = "a" * 16, "b" * 16
E = "e" * 16


def of_trial(trial: str) -> list[str]:
    return [
        f"trials/{trial}.parquet",
        f"metrics/{trial}.parquet",
        f"checkpoints/{trial}.pt",
        f"checkpoints/{trial}.best.pt",
        f"checkpoints/{trial}.latents/000000400-00000.pt",
        f"samples/{trial}/epoch-0005.png",
        f"samples/{trial}/autoencoder-0005.png",
        f"samples/{trial}/interpolation-{E}-walks.png",
        f"evaluations/quality/{trial}-{E}-0000.parquet",
        f"evaluations/inversion_curves/{trial}-{E}-0012.parquet",
        f"replaced/0123456789ab/trials/{trial}.parquet",
        f"replaced/0123456789ab/checkpoints/{trial}.pt",
    ]


OF_JOB = [
    "job.yaml",
    "run.json",
    "run.log",
    "evaluated.json",
    f"bundles/trials-{'0' * 32}.parquet",
    "report/index.html",
    "report/figures.json",
    "lease/00000001.json",
]
FIGURE = "report/figures/curves.png"
FOREIGN = [
    "notes.txt",
    "job.yaml.bak",
    f"trials/{A} (copy).parquet",
    f"trials/{A}.parquet.bak",
    f"checkpoints/{A}.pth",
    f"checkpoints/{A[:15]}.pt",
    f"samples/{A}/mine.png",
    f"samples/{A}/deep/epoch-0005.png",
    f"evaluations/{A}-{E}-0000.parquet",
    f"trials/deep/{A}.parquet",
    "report/figures/mine.png",
    f"other/trials/{A}.parquet",
    f"replaced/trials/{A}.parquet",
]


def fill(store: Store) -> None:
    for key in [*of_trial(A), *of_trial(B), *OF_JOB, FIGURE, *FOREIGN]:
        store.write(
            key, f"{A}-{E}".encode() if key != "evaluated.json" else f'{{"{A}-{E}": "x", "{B}-{E}": "y"}}'.encode()
        )


def test_which_files_are_ours() -> None:
    assert all(trial_in(key) == A for key in of_trial(A))
    assert all(is_ours(key) and trial_in(key) is None for key in OF_JOB)
    assert not any(map(is_ours, [*FOREIGN, FIGURE]))


@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_job_goes_and_what_is_a_stranger_s_stays(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root: Store = LocalStore(tmp_path) if kind == "folder" else S3Store(request.getfixturevalue("s3_bucket"), "a")
    store = root.child("study")
    fill(store)
    files = files_of_job(store, {FIGURE})
    remove(store, files)
    assert store.keys() == sorted(FOREIGN)
    for key in FOREIGN:
        store.delete(key)
    fill(store)
    remove(store, [*files, *FOREIGN])
    store.drop_folder()
    assert root.folders() == []


def test_trials_go_and_the_rest_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    fill(store)
    remove_trials(store, files_of_trials(store, {A}))
    assert store.keys() == sorted([*of_trial(B), *OF_JOB, FIGURE, *FOREIGN])
    assert store.read("evaluated.json") == f'{{\n"{B}-{E}": "y"\n}}'.encode()
    assert not (tmp_path / "checkpoints" / f"{A}.latents").exists()


@pytest.mark.parametrize(
    ("keep", "stay"),
    [
        ("none", []),
        ("last", [f"checkpoints/{A}.pt", f"checkpoints/{A}.latents/000000400-00000.pt"]),
        ("best", [key for key in of_trial(A) if key.startswith("checkpoints/")]),
    ],
)
def test_checkpoints_go(keep: str, stay: list[str]) -> None:
    store = MemoryStore()
    fill(store)
    before = store.keys()
    others = [key for key in before if not key.startswith("checkpoints/")]
    remove(store, spare_checkpoints(store, keep, {A}, {A} if keep == "best" else ()))  # type: ignore[arg-type]
    kept = [key for key in [*of_trial(B), *FOREIGN] if key.startswith("checkpoints/")]
    assert store.keys() == sorted([*others, *stay, *kept])
    remove(store, spare_checkpoints(store, "best", {A, B}, {B}))
    assert trial_in(f"checkpoints/{B}.pt") == B
    assert store.keys() == sorted([*others, *kept])


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in (f"{A}.pt", f"{A}.parquet"):
        (outside / name).write_text("stays")
    store = LocalStore(tmp_path / "study")
    store.write(f"trials/{A}.parquet", b"row")
    (tmp_path / "study" / "checkpoints").symlink_to(outside)
    (tmp_path / "study" / "metrics").mkdir()
    (tmp_path / "study" / "metrics" / f"{A}.parquet").symlink_to(outside / f"{A}.parquet")
    remove(store, files_of_trials(store, {A}))
    assert store.keys() == ["checkpoints"]
    assert sorted(path.name for path in outside.iterdir()) == [f"{A}.parquet", f"{A}.pt"]


@pytest.mark.parametrize("whole", [True, False], ids=["job", "trials"])
def test_what_is_interrupted_at_any_call_goes_on(whole: bool) -> None:
    """Of a trial the row goes last, of a job its file, and then its lease: so that it is found again."""

    def once(store: Store) -> None:
        if whole:
            remove(store, files_of_job(store, {FIGURE}))
        else:
            remove_trials(store, files_of_trials(store, {A, B}))

    for number in range(200):
        store = MemoryStore()
        fill(store)
        store.shared.left = number
        try:
            once(store)
            broken = False
        except StorageUnavailable:
            broken = True
        store.shared.left = math.inf
        left = set(store.keys())
        for trial in (A, B):
            rest = [key for key in of_trial(trial) if "trials/" not in key and key in left]
            assert f"trials/{trial}.parquet" in left or not rest
        assert not set(OF_JOB) & left or {"job.yaml", "lease/00000001.json"} & left
        assert left >= set(FOREIGN)
        once(store)
        assert store.keys() == sorted(FOREIGN if whole else [*OF_JOB, FIGURE, *FOREIGN])
        if not broken:
            break
    assert 30 < number < 100
