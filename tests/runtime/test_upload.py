"""Which files of this machine go to a cluster: those that data sets read and the package's own, none through a link."""

from __future__ import annotations

import os
import struct
from gzip import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from zipfile import ZipFile

import pytest
from PIL import Image

from orchestrator.data import AnyDataset
from orchestrator.data.celeba import Celeba
from orchestrator.data.dataset import Dataset, Split
from orchestrator.data.image_folder import ImageFolder
from orchestrator.errors import ClusterError, DataError
from orchestrator.runtime import runtime_env
from orchestrator.runtime.remote import EVERYTHING_TRAVELS
from orchestrator.runtime.runtime_env import Upload, pack, stage, staged
from orchestrator.spec.job import make_job
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

SHARED = "s3://bucket/studies"
CANARY = "canary-of-what-is-private"
OF_JOB = {"job.yaml", "launch.sh", "preflight.py"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; beside it lie a small package and, in home, things that are nobody's business."""
    for name in (".ssh/id_rsa", ".aws/credentials", "pictures/private.png"):
        write(tmp_path / "home" / name, CANARY)
    for name in ("__init__.py", "spec/job.py"):
        write(tmp_path / "package" / name, "")
    monkeypatch.setattr(runtime_env, "_package", lambda: tmp_path / "package")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "here"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def draw(*names: str) -> None:
    """Images below the current folder, no two alike."""
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(name)


def job(*data: dict[str, Any], **changes: Any) -> Job:
    return make_job(raw_job("a", data=None, grid={"data": list(data)}, **changes), "a.yaml")


def folder(root: str, **changes: Any) -> dict[str, Any]:
    return {"name": "image_folder", "root": root, "height": 28, "width": 28, "channels": 1, **changes}


def contents(path: Path) -> dict[str, bytes]:
    """All that lies below a folder that is no folder; links as what they point at."""
    found = [each for each in path.rglob("*") if each.is_symlink() or not each.is_dir()]
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in found}


def sent(upload: Upload, tmp_path: Path) -> set[str]:
    """What of the data arrives; no canary is anywhere, and as many bytes travel as were told."""
    (tmp_path / "out").mkdir()
    working, package = stage(upload, tmp_path / "out")
    everything = contents(tmp_path / "out")
    assert CANARY.encode() not in b"".join(everything.values())
    assert not [name for name in everything if (tmp_path / "out" / name).is_symlink()]
    assert sum(map(len, everything.values())) == upload.size
    assert len(everything) == sum(files for _, files, _ in upload.parts)
    assert set(contents(package)) == set(upload.package)
    return set(contents(working)) - OF_JOB


PNG = ["x/a/1.png", "x/b/2.png"]
SECRETS = [".env", ".env.production", ".git/config", ".ssh/id_rsa", ".aws/credentials", "id_rsa", "id_rsa.pub"]
SECRETS += ["a/tls.key", "a/tls.pem", "credentials", "credentials.json", "a/.hidden.png", ".b/hidden.png", "notes.txt"]
SECRETS += ["a/app.py", "b/x.zip"]


def test_what_a_data_set_does_not_read_stays_here(tmp_path: Path) -> None:
    draw(*PNG)
    for name in SECRETS:
        write(Path("x", name), CANARY)
    os.mkfifo("x/a/pipe.png")
    with Path("x/a/disk.img").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert sent(pack(job(folder("x")), SHARED), tmp_path) == set(PNG)


LINKS: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "the root itself": (lambda home: Path("x").symlink_to(home / "pictures"), 1, "x/private.png"),
    "a folder above the root": (lambda home: Path("y").symlink_to(home), 1, "y/pictures/private.png"),
    "a file outside": (lambda home: Path("x/a/z.png").symlink_to(home / ".ssh/id_rsa"), 1, "x/a/z.png"),
    "a folder outside": (lambda home: Path("x/z").symlink_to(home / "pictures"), 1, "x/z/private.png"),
    "the whole disk's like": (lambda home: Path("x/z").symlink_to(home), 1, "x/z/pictures/private.png"),
    "a file of the same folder": (lambda _: Path("x/a/z.png").symlink_to("1.png"), 1, "x/a/z.png"),
    "a file that is none": (lambda _: Path("x/a/z.png").symlink_to("z.png"), 1, "x/a/z.png"),
    "two of them": (lambda _: [Path(f"x/b/{n}.png").symlink_to("2.png") for n in "89"] and None, 2, "x/b/8.png"),
    "a ring": (lambda _: Path("x/a/ring").symlink_to(".."), 0, ""),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_are_not_followed_but_told(case: str, tmp_path: Path) -> None:
    make, count, example = LINKS[case]
    root = "y/pictures" if case == "a folder above the root" else "x"
    if case not in ("the root itself", "a folder above the root"):
        draw(*PNG)
    make(tmp_path / "home")
    if not count:  # a link to a folder that is no other is no image, neither here nor there
        assert sent(pack(job(folder(root)), SHARED), tmp_path) == set(PNG)
        return
    files = len(ImageFolder(**folder(root)).files())
    with pytest.raises(DataError) as caught:
        pack(job(folder(root)), SHARED)
    assert str(caught.value) == (
        f"data.root: links are not sent: {count} of the {files} files of {root} are, or are reached through one, such "
        f"as {example}; copy the files there, or give an absolute path that all nodes see"
    )


def write_idx(folder: str, suffix: str = "", splits: tuple[str, ...] = ("train", "t10k")) -> None:
    for prefix in splits:
        for kind, shape in (("images-idx3-ubyte", (4, 28, 28)), ("labels-idx1-ubyte", (4,))):
            values = bytes([len(prefix)] * 784) + bytes(3 * 784) if len(shape) == 3 else bytes(4)
            content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + values
            Path(folder, "raw").mkdir(parents=True, exist_ok=True)
            Path(folder, "raw", f"{prefix}-{kind}{suffix}").write_bytes(content if not suffix else compress(content))


def write_celeba(parts: str) -> None:
    draw(*(f"data/celeba/img_align_celeba/{number}.jpg" for number in range(len(parts))))
    lines = [f"{number}.jpg {part}\n" for number, part in enumerate(parts)]
    Path("data/celeba/list_eval_partition.txt").write_text("".join(lines))


IDX = [f"{prefix}-{kind}" for prefix in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
SETS: dict[str, tuple[Callable[[], Any], dict[str, Any], set[str]]] = {
    "by class": (lambda: draw(*PNG), folder("x"), set(PNG)),
    "in the current folder": (lambda: draw(*PNG), folder("."), set(PNG)),
    "named with dots": (lambda: draw(*PNG), folder("./x//a/."), {"x/a/1.png"}),
    "below a hidden folder that is named": (lambda: draw(".x/1.png"), folder(".x"), {".x/1.png"}),
    "folders that Ray would leave out": (lambda: draw("x/venv/1.png"), folder("x"), {"x/venv/1.png"}),
    "a split that is not used": (
        lambda: draw("x/train/1.png", "x/val/2.png", "x/test/3.jpg"),
        folder("x"),
        {"x/train/1.png", "x/test/3.jpg"},
    ),
    "mnist": (lambda: write_idx("data/MNIST"), {"name": "mnist"}, {f"data/MNIST/raw/{name}" for name in IDX}),
    "mnist as published": (
        lambda: write_idx("deep/er/FashionMNIST", ".gz"),
        {"name": "fashion_mnist", "root": "deep/er"},
        {f"deep/er/FashionMNIST/raw/{name}.gz" for name in IDX},
    ),
    "mnist without what is held out": (
        lambda: write_idx("data/MNIST", splits=("train",)),
        {"name": "mnist"},
        {f"data/MNIST/raw/{name}" for name in IDX[:2]},
    ),
    "faces": (
        lambda: write_celeba("0021002"),
        {"name": "celeba", "max_images": 3},
        {"data/celeba/list_eval_partition.txt", *(f"data/celeba/img_align_celeba/{n}.jpg" for n in (0, 1, 2, 4, 6))},
    ),
    "yet to be fetched": (
        lambda: write_idx("data/MNIST", splits=("train",)),
        {"name": "mnist", "download": True},
        set(),
    ),
    "not here at all": (lambda: None, {"name": "mnist"}, set()),
    "drawn by the program": (lambda: None, {"name": "digits"}, set()),
}


@pytest.mark.parametrize("case", SETS)
def test_exactly_what_a_data_set_reads_arrives(
    case: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, data, expected = SETS[case]
    make()
    one = job(data).trials[0].settings.data
    upload = pack(job(data), SHARED)
    assert sent(upload, tmp_path) == expected
    assert bool(upload.missing) == (case == "not here at all")
    before = fingerprints(one)
    monkeypatch.chdir(tmp_path / "out" / "job")
    assert fingerprints(one) == before


def fingerprints(data: Dataset) -> list[str]:
    """Of both splits, "" for what is not there."""
    found = []
    for split in get_args(Split):
        try:
            found.append(data.fingerprint(split))
        except DataError:
            found.append("")
    return found


def test_every_data_set_with_a_root_tells_its_files() -> None:
    kinds = [kind for kind in get_args(get_args(AnyDataset)[0]) if "root" in kind.model_fields]
    assert len(kinds) == 4
    assert not [kind.__name__ for kind in kinds if kind.files is Dataset.files]


def test_a_root_that_all_nodes_see_does_not_travel(here: Path, tmp_path: Path) -> None:
    draw(*PNG)
    roots = [str(here / "x"), "~/pictures", "~nobody-of-that-name/x"]
    assert sent(pack(job(*map(folder, roots)), SHARED), tmp_path) == set()


@pytest.mark.parametrize("root", ["..", "x/../../home/pictures", "../here/x"])
def test_nothing_outside_the_current_folder_is_taken(root: str) -> None:
    draw(*PNG)
    with pytest.raises(DataError) as caught:
        pack(job(folder(root)), SHARED)
    assert str(caught.value) == (
        f"data.root: got {root!r}, expected a folder below the current one, or an absolute path"
    )


def test_what_evaluations_compare_with_travels_and_nothing_twice(tmp_path: Path) -> None:
    draw(*PNG)
    write_idx("data/MNIST")
    flow = {"model": {"kind": "glow", "levels": 2, "steps": 2, "width": 4}, "objective": {"kind": "likelihood"}}
    against = [{"name": "mnist"}]
    asked = job(folder("x/a"), folder("./x"), **flow, evaluate=[{"kind": "likelihood", "against": against}])
    upload = pack(asked, SHARED)
    assert sent(upload, tmp_path) == {*PNG, *(f"data/MNIST/raw/{name}" for name in IDX)}
    assert [(what, files) for what, files, _ in upload.parts][2:] == [("data", 4), ("x", 2)]


def test_the_plan_tells_what_travels(tmp_path: Path) -> None:
    draw(*PNG)
    Path("x/b/2.png").write_bytes(bytes(1_234_000))
    first, second = pack(job(folder("x"), {"name": "mnist"}), SHARED).describe()
    size = 1_234_000 + Path("x/a/1.png").stat().st_size
    assert first.startswith("travels: the job (3 files, ")
    assert f", x (2 files, {size / 1e6:.1f} MB); " in first
    assert second.startswith("stays: data, which lacks what its data set needs: mnist: neither train-images-idx3")


def test_all_that_travels_counts_and_nothing_is_copied_of_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    draw(*PNG)
    Path("x/a/1.png").write_bytes(bytes(10_000))
    size = pack(job(folder("x")), SHARED).size
    monkeypatch.setattr(runtime_env, "MAX_BYTES", size)
    pack(job(folder("x")), SHARED)
    monkeypatch.setattr(runtime_env, "MAX_BYTES", size - 1)
    with pytest.raises(DataError, match=r"^data.root: x has [\d,]+ bytes, and all that is sent along may have "):
        pack(job(folder("x")), SHARED)


def test_a_file_that_only_seems_large_is_too_much(here: Path) -> None:
    draw(*PNG)
    with Path("x/a/sparse.png").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(
        DataError, match=r"^data.root: x has 1,099,511,[\d,]+ bytes, and all that is sent .* 200,000,000;"
    ):
        pack(job(folder("x")), SHARED)


def test_names_that_cannot_travel_are_told(tmp_path: Path) -> None:
    draw(*PNG)
    Path(os.fsdecode(b"x/a/\xff.png")).write_bytes(Path(PNG[0]).read_bytes())
    with pytest.raises(DataError, match=r"^x/a/\\udcff.png: its name is not UTF-8, in which names travel; rename it$"):
        pack(job(folder("x")), SHARED)


def test_the_partition_file_may_be_a_trap(tmp_path: Path) -> None:
    write_celeba("002")
    Path("data/celeba/list_eval_partition.txt").unlink()
    os.mkfifo("data/celeba/list_eval_partition.txt")
    with pytest.raises(DataError, match=r"list_eval_partition.txt: is no file; put CelebA's there$"):
        Celeba().files()


def test_of_the_package_s_folder_only_the_package_travels(tmp_path: Path) -> None:
    package = tmp_path / "package"
    kept = [
        "__init__.py",
        "spec/job.py",
        "py.typed",
        "report/__init__.py",
        "report/web/page.html",
        "report/web/page.css",
    ]
    kept += ["runtime/launch.sh", "objectives/my_own.py"]
    names = [
        ".env",
        "keys.txt",
        "runtime/secrets.yaml",
        "runtime/other.sh",
        "report/web/page.css~",
        "a.py.orig",
        "a.py~",
    ]
    names += ["#a.py#", ".#a.py", "a copy.py", ".ipynb_checkpoints/a.py", "__pycache__/a.py", ".git/hooks/a.py"]
    names += ["my-keys/a.py", "deep/report/web/page.html", "report/page.html"]
    for name in kept:
        write(package / name, "")
    for name in names:
        write(package / name, CANARY)
    upload = pack(job({"name": "digits"}), SHARED)
    assert sent(upload, tmp_path) == set()
    assert set(upload.package) == set(kept)
    (package / "models.py").symlink_to(tmp_path / "home/.ssh/id_rsa")
    with pytest.raises(DataError) as caught:
        pack(job({"name": "digits"}), SHARED)
    assert str(caught.value) == f"{package}/models.py: is a link, which is not sent; put the file itself there"


def test_the_folder_is_private_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = pack(job({"name": "digits"}), SHARED)
    with staged(upload) as (working, package):
        private = working.parent
        assert package.is_relative_to(private)
        assert private.stat().st_mode & 0o777 == 0o700
    assert not private.exists()
    with pytest.raises(ClusterError, match=r"^no room for the upload \([\d,]+ bytes\) in .*; set TMPDIR to "):
        stage(upload, private)
    monkeypatch.setattr("tempfile.tempdir", str(private))
    with pytest.raises(ClusterError, match="no room for the upload"), staged(upload):
        pass


def test_ray_takes_all_that_is_staged(tmp_path: Path) -> None:
    """Folders that Ray leaves out by itself may be classes of images."""
    from ray._private.runtime_env.packaging import _zip_files
    from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

    names = ["x/venv/1.png", "x/__pycache__/2.png", "x/a/3.png"]
    draw(*names)
    (tmp_path / "out").mkdir()
    working, _ = stage(pack(job(folder("x")), SHARED), tmp_path / "out")

    def upload(folder: str, excludes: list[str]) -> None:
        _zip_files(folder, excludes, str(tmp_path / "all.zip"), include_gitignore=True)

    runtime_env = {"working_dir": str(working), "excludes": EVERYTHING_TRAVELS}
    upload_working_dir_if_needed(runtime_env, include_gitignore=True, upload_fn=upload)
    with ZipFile(tmp_path / "all.zip") as archive:
        assert {name for name in archive.namelist() if not name.endswith("/")} == OF_JOB | set(names)
