"""Opens the storage that a user names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from orchestrator.errors import StorageError
from orchestrator.store.local import LocalStore

if TYPE_CHECKING:
    from orchestrator.store.s3 import S3Store

_ALLOWED = "expected a folder such as results or /data/results, or s3://bucket/prefix"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/|(s3|file):")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


def open_store(uri: str) -> LocalStore | S3Store:
    """The storage at ``uri``: a path, ``file:///path`` or ``s3://bucket/prefix``; no request is made yet.

    Raises StorageError for anything else; its text never repeats a part of ``uri`` that may be a secret.
    """
    if not uri.isprintable() or not uri.strip():
        raise StorageError(f"storage: got an empty name or one that cannot be printed, {_ALLOWED}")
    match = _SCHEME.match(uri)
    scheme = (match[1] or match[2]).lower() if match else ""
    if scheme == "s3":
        return _s3(uri)
    if scheme == "file":
        return _local(_file_path(uri))
    if scheme:
        raise StorageError(f"storage: {scheme}:// is not supported, {_ALLOWED}")
    return _local(uri)


def _local(path: str) -> LocalStore:
    try:
        return LocalStore(Path(path).expanduser())
    except RuntimeError:
        raise StorageError(f"storage: {path}: there is no such user's home folder, {_ALLOWED}") from None


def _file_path(uri: str) -> str:
    rest = uri[len("file:") :]
    path = unquote(rest.removeprefix("//"))
    if not rest.startswith("///") or not path.isprintable():
        raise StorageError(f"storage: file: takes // and an absolute path, no host, {_ALLOWED}")
    return path


def _s3(uri: str) -> S3Store:
    # boto3 takes a tenth of a second to import, which a plan of a local job should not pay
    from orchestrator.store.s3 import S3Store

    if not uri.lower().startswith("s3://"):
        raise StorageError(f"storage: s3: must be followed by two slashes, {_ALLOWED}")
    bucket, _, prefix = uri[len("s3://") :].partition("/")
    if "@" in bucket or ":" in bucket:
        raise StorageError(
            "storage: s3:// takes no credentials or port: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
            f"AWS_ENDPOINT_URL instead, {_ALLOWED}"
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        shown = repr(bucket) if re.fullmatch(r"[\w. -]*", bucket) else "what follows s3://"
        raise StorageError(f"storage: {shown} is no name of a bucket (3 to 63 letters, digits, - . _), {_ALLOWED}")
    return S3Store(bucket, prefix.removesuffix("/"))
