"""Checkpoints that are damaged, of others, or made to do harm."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import re
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from orchestrator.errors import CheckpointError, StorageError
from orchestrator.store.local import LocalStore
from orchestrator.training.checkpoint import checkpoint_key, load_checkpoint, save_checkpoint
from orchestrator.training.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "0123456789abcdef"
KEY = f"checkpoints/{ID}.pt"
REMEDY = "delete it to train this trial from the start"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.fixture
def make_session(make_trial, images, store: LocalStore):
    def make(trial_id: str = ID, *, pixels: torch.Tensor = images, **training: Any) -> Session:
        return Session(trial_id, make_trial(**{"epochs": 3} | training), pixels, store)

    return make


@pytest.fixture
def saved(make_session, store: LocalStore) -> bytes:
    session = make_session()
    session.advance(0.0)
    session.save()
    return store.read(KEY)


def refused(make_session: Callable[..., Session], problem: str, **settings: Any) -> None:
    """One line: the file, what is wrong, what to do."""
    with pytest.raises(CheckpointError) as caught:
        make_session(**settings)
    text = str(caught.value)
    assert re.fullmatch(rf"/.*/{re.escape(KEY)}: {problem}; {REMEDY}", text), text


class Harm:
    """Unpickling it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def sealed(data: bytes) -> bytes:
    """Followed by the digest that a stranger can make as well as we."""
    return data + hashlib.sha256(data).digest()


def test_a_state_comes_back_as_it_was(store: LocalStore, differences) -> None:
    state = {
        "weights": torch.randn(3, 2, 4, 4).contiguous(memory_format=torch.channels_last),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]).view(torch.int32),
        "rows": [{"step": 1, "loss": 0.1}],
        "text": "ü",
        "nothing": None,
    }
    save_checkpoint(store, ID, state)
    loaded = load_checkpoint(store, ID)
    assert differences(loaded, {"trial_id": ID, **state}) == []
    assert loaded["weights"].stride() == state["weights"].stride()


def test_no_checkpoint_is_none_and_no_file_appears(store: LocalStore) -> None:
    assert load_checkpoint(store, ID) is None
    assert store.keys() == []


def test_each_checkpoint_takes_the_place_of_the_last(store: LocalStore) -> None:
    for step in (1, 2):
        save_checkpoint(store, ID, {"step": step})
    assert store.keys() == [KEY] == [checkpoint_key(ID)]
    assert load_checkpoint(store, ID) == {"trial_id": ID, "step": 2}


def test_torch_itself_reads_a_checkpoint_as_plain_data(saved: bytes) -> None:
    state = torch.load(io.BytesIO(saved), weights_only=True)
    assert set(state) == {"trial_id", "device", "data_fingerprint", "learner", "progress", "started_at", "resumes"}
    networks = {"networks", "averaged", "discriminator", "g_optimizer", "d_optimizer"}
    assert set(state["learner"]) == {*networks, "latents", "noise", "batches", "objective", "steps", "stall"}


def test_any_part_of_a_checkpoint_is_not_a_checkpoint(make_session, saved: bytes, store: LocalStore) -> None:
    for length in {*range(40), *range(0, len(saved), len(saved) // 50), len(saved) - 1}:
        store.write(KEY, saved[:length])
        refused(make_session, "damaged checkpoint")


def test_a_flipped_bit_never_becomes_another_weight(make_session, saved: bytes, store: LocalStore) -> None:
    """Although torch's own reading passes over most of them."""
    bits, torch_loads = random.Random(0), 0
    for _ in range(100):
        damaged = bytearray(saved)
        damaged[bits.randrange(len(saved))] ^= 1 << bits.randrange(8)
        store.write(KEY, bytes(damaged))
        with pytest.raises(CheckpointError, match=r"damaged checkpoint; delete it"):
            load_checkpoint(store, ID)
        with suppress(Exception):
            torch_loads += bool(torch.load(io.BytesIO(damaged), weights_only=True))
    assert torch_loads > 10


@pytest.mark.parametrize("prefix", [b"", b"PK\x03\x04", b"\x80\x02"])
def test_noise_is_not_a_checkpoint(make_session, store: LocalStore, prefix: bytes) -> None:
    """Nor with a digest that fits it."""
    noise = random.Random(1)
    for length in (0, 1, 10, 31, 32, 33, 1000, 5000):
        data = prefix + noise.randbytes(length)
        store.write(KEY, data)
        refused(make_session, "damaged checkpoint")
        store.write(KEY, sealed(data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, on a pickle of a version it does not know
            refused(make_session, r"not a checkpoint of this program \(\w+\)")


@pytest.mark.parametrize("form", ["pickle", "old torch", "torch", "in a checkpoint"])
def test_code_in_a_checkpoint_never_runs(
    make_session, saved: bytes, store: LocalStore, tmp_path: Path, form: str
) -> None:
    marker = tmp_path / "marker"
    harm, buffer = {"trial_id": ID, "learner": Harm(marker)}, io.BytesIO()
    if form == "pickle":
        buffer.write(pickle.dumps(harm, protocol=2))
    elif form == "in a checkpoint":
        with zipfile.ZipFile(io.BytesIO(saved)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        (name,) = (name for name in members if name.endswith("data.pkl"))
        buffer.write(zipped(members | {name: pickle.dumps(harm, protocol=2)}))
    else:
        torch.save(harm, buffer, _use_new_zipfile_serialization=form == "torch")
    store.write(KEY, sealed(buffer.getvalue()))
    refused(make_session, r"not a checkpoint of this program \(UnpicklingError\)")
    assert not marker.exists()
    buffer.seek(0)
    _ = pickle.load(buffer) if form == "pickle" else torch.load(buffer, weights_only=False)  # noqa: S301
    assert marker.exists(), "the harm was harmless"


@pytest.mark.parametrize("state", [[1, 2], "text", {}, {"trial_id": None}, {"trial_id": "another"}, torch.zeros(3)])
def test_a_checkpoint_of_another_trial(make_session, store: LocalStore, state: Any) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.write(KEY, sealed(buffer.getvalue()))
    refused(make_session, "checkpoint of another trial")


def test_another_trials_file_under_this_trials_name(make_session, store: LocalStore) -> None:
    make_session("another").save()
    store.write(KEY, store.read("checkpoints/another.pt"))
    refused(make_session, "checkpoint of another trial")


@pytest.mark.parametrize("missing", ["device", "learner", "progress", "started_at", "resumes"])
def test_a_checkpoint_with_a_part_missing_or_of_another_type(make_session, saved: bytes, store, missing: str) -> None:
    state = load_checkpoint(store, ID)
    wrong = ({}, {missing: None}, {missing: [1.5]}, {missing: "text"})
    for part in wrong if missing != "device" else ({},):
        kept = {key: value for key, value in state.items() if key != missing}
        save_checkpoint(store, ID, kept | part)
        refused(make_session, r"does not fit these settings \(\w+\)")


@pytest.mark.usefixtures("saved")
def test_a_checkpoint_of_other_networks(make_session) -> None:
    refused(make_session, r"does not fit these settings \(RuntimeError\)", width=3)


@pytest.mark.usefixtures("saved")
def test_a_checkpoint_of_other_data(make_session, images: torch.Tensor) -> None:
    refused(make_session, "checkpoint is of 22 training images .* 21 in batches of 4; .*", pixels=images[:21])


def test_a_checkpoint_of_another_device(make_session, saved: bytes, store: LocalStore) -> None:
    state = torch.load(io.BytesIO(saved), weights_only=True)
    save_checkpoint(store, ID, state | {"device": "cuda"})
    refused(make_session, "is of a trial on cuda, this one is on cpu")


@pytest.mark.usefixtures("saved")
def test_the_remedy_works(make_session, store: LocalStore) -> None:
    store.write(KEY, b"")
    refused(make_session, "damaged checkpoint")
    store.delete(KEY)
    assert make_session().progress.step == 0


def test_a_device_without_memory_is_not_blamed_on_the_file(make_session, saved: bytes, monkeypatch) -> None:
    def full(*_args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("orchestrator.training.learner.Learner.load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError):
        make_session()


def test_storage_that_fails_is_not_taken_for_a_trial_without_checkpoint(make_session, store: LocalStore) -> None:
    class Refusing(LocalStore):
        def read(self, key: str, limit: int | None = None) -> bytes:
            raise StorageError(f"{key}: permission denied")

    with pytest.raises(StorageError, match="permission denied"):
        load_checkpoint(Refusing(Path(store.uri) / "x"), ID)
