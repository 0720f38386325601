from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.data import AnyDataset, Dataset
from orchestrator.data.celeba import Celeba
from orchestrator.data.digits import Digits
from orchestrator.data.fish.settings import ProceduralFish
from orchestrator.data.image_folder import ImageFolder
from orchestrator.data.mnist import FashionMnist, Mnist

if TYPE_CHECKING:
    from pathlib import Path

ADAPTER: TypeAdapter[Dataset] = TypeAdapter(AnyDataset)

SETTINGS = [
    ({"name": "digits", "max_images": 5}, Digits(max_images=5)),
    ({"name": "mnist", "image_size": 32}, Mnist(image_size=32)),
    ({"name": "fashion_mnist", "root": "x"}, FashionMnist(root="x")),
    (
        {"name": "image_folder", "root": "x", "height": 16, "width": 24},
        ImageFolder(root="x", height=16, width=24),
    ),
    ({"name": "procedural_fish", "height": 35, "width": 80}, ProceduralFish(height=35, width=80)),
    ({"name": "celeba", "image_size": 32, "cache": "y"}, Celeba(image_size=32, cache="y")),
]


@pytest.mark.parametrize(("written", "expected"), SETTINGS)
def test_the_name_chooses_the_kind(written: dict[str, Any], expected: Dataset) -> None:
    chosen = ADAPTER.validate_python(written)
    assert type(chosen) is type(expected)
    assert chosen == expected
    assert hash(chosen) == hash(expected)


@pytest.mark.parametrize(("_", "settings"), SETTINGS)
def test_settings_survive_being_stored(_: object, settings: Dataset) -> None:
    assert ADAPTER.validate_python(json.loads(settings.model_dump_json())) == settings


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"name": "cifar"}, ()),
        ({"root": "x"}, ()),
        ({"name": "digits", "root": "x"}, ("digits", "root")),
        ({"name": "digits", "image_size": 30}, ("digits", "image_size")),
        ({"name": "digits", "max_images": 0}, ("digits", "max_images")),
        ({"name": "mnist", "download": "yes"}, ("mnist", "download")),
        ({"name": "image_folder"}, ("image_folder", "root")),
        ({"name": "image_folder", "root": "x", "channels": 4}, ("image_folder", "channels")),
        ({"name": "image_folder", "root": "x", "height": 7}, ("image_folder", "height")),
        ({"name": "image_folder", "root": "x", "width": 7}, ("image_folder", "width")),
        ({"name": "image_folder", "root": "x", "width": [16]}, ("image_folder", "width")),
        ({"name": "image_folder", "root": "x", "height": True}, ("image_folder", "height")),
        ({"name": "image_folder", "root": "x", "height": "64"}, ("image_folder", "height")),
        ({"name": "image_folder", "root": "x", "cache": True}, ("image_folder", "cache")),
        ({"name": "celeba", "image_size": 28}, ("celeba", "image_size")),
        ({"name": "procedural_fish", "images": 0}, ("procedural_fish", "images")),
        ({"name": "procedural_fish", "seed": -1}, ("procedural_fish", "seed")),
        ({"name": "procedural_fish", "root": "x"}, ("procedural_fish", "root")),
    ],
)
def test_mistakes_are_placed(written: dict[str, Any], place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as failure:
        ADAPTER.validate_python(written)
    assert [error["loc"] for error in failure.value.errors()] == [place]


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ValidationError, match=r"'celeba', 'digits', 'fashion_mnist', 'image_folder', 'mnist', 'procedural_fish'"
    ):
        ADAPTER.validate_python({"name": "cifar"})


def test_places_are_fields_and_only_a_users_own_folder_is_identity() -> None:
    for kind in (Digits, Mnist, FashionMnist, ImageFolder, Celeba, ProceduralFish):
        assert kind.places <= set(kind.model_fields)
    assert Mnist.places == FashionMnist.places == {"root", "download"}
    assert Celeba.places == {"root", "download", "cache"}
    assert ImageFolder.places == ProceduralFish.places == {"cache"}


def test_nothing_heavy_is_imported_before_images_are_loaded(tmp_path: Path) -> None:
    program = """
import sys
from orchestrator.data import AnyDataset
from pydantic import TypeAdapter
settings = TypeAdapter(AnyDataset).validate_python({"name": "digits"})
assert settings.size == 1500 and settings.shape.height == 28
assert len(settings.fingerprint()) == 32 and settings.notes() == ()
print([name for name in ("torch", "torchvision", "sklearn", "scipy", "ray") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
