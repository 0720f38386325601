"""Translates errors of S3 requests into StorageErrors; text of servers and settings is never repeated unchecked."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.errors import NotFoundError, StorageError, StorageRefused, StorageUnavailable

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_LOG_IN = "get new ones, or log in again"
_REGION = ("the bucket is in another region", "set AWS_DEFAULT_REGION to the bucket's")
_FULL = ("the storage is full", "free some space, or choose another storage")
_CODES: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no such bucket", "create it, or correct the storage"),
    "InvalidBucketName": ("the server allows no bucket of that name", "correct the storage"),
    "InvalidAccessKeyId": ("the server does not know the access key", f"check {_KEYS}, and AWS_ENDPOINT_URL"),
    "SignatureDoesNotMatch": ("the secret key is not the access key's", f"check {_KEYS}"),
    "ExpiredToken": ("the credentials have expired", _LOG_IN),
    "RequestExpired": ("the credentials have expired", _LOG_IN),
    "ExpiredTokenException": ("the credentials have expired", _LOG_IN),
    "TokenRefreshRequired": ("the credentials have expired", _LOG_IN),
    "InvalidToken": ("the session token is not valid", "renew or unset AWS_SESSION_TOKEN"),
    "RequestTimeTooSkewed": ("this machine's clock differs from the server's", "set the clock"),
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "EntityTooLarge": ("the blob is too large for one upload", "S3 takes 5 GiB"),
    "KeyTooLongError": ("the name is too long", "choose a storage with a shorter prefix"),
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
}
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
    | {"RequestExpired", "InvalidToken"}
)
_MAY_PASS = _CREDENTIALS | {"RequestTimeTooSkewed"} | {code for code, (cause, _) in _CODES.items() if cause == _FULL[0]}
_OF_ONE_BLOB = frozenset({"EntityTooLarge", "KeyTooLongError"})
_NO_ANSWER = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.ResponseStreamingError,
    boto.IncompleteReadError,
)
_BUSY = frozenset({"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestTimeout"})
_RIGHTS = {
    "read": "s3:GetObject",
    "look up": "s3:GetObject",
    "write": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}


def status_of(error: ClientError) -> int:
    """The HTTP status of the server's reply; 0 when there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_of_credentials(error: BotoCoreError | ClientError) -> bool:
    """Whether new credentials may help: users change them while a run is at work."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") in _CREDENTIALS
    return bool(re.search("Credential|Token|SSO|Login", type(error).__name__))


def storage_error(error: BotoCoreError | ClientError, where: str, action: str) -> StorageError:
    """One line for ``error``: ``where`` is the blob's URI, ``action`` a key of _RIGHTS."""
    if isinstance(error, ClientError):
        return _refused(error, where, action)
    return _unanswered(error, f"{where}: cannot {action}")


def _refused(error: ClientError, where: str, action: str) -> StorageError:
    status, code = status_of(error), _tame(error.response.get("Error", {}).get("Code") or "")
    answer = f"the server answered {status}" + (f" {code}" if code and code != str(status) else "")
    prefix = f"{where}: cannot {action}"
    if code in _CODES:
        cause, remedy = _CODES[code]
        kind = StorageUnavailable if code in _MAY_PASS else StorageError if code in _OF_ONE_BLOB else StorageRefused
        return kind(f"{prefix}: {cause}; {remedy}")
    if status == 507:
        return StorageUnavailable(f"{prefix}: {_FULL[0]}; {_FULL[1]}")
    if code == "NoSuchKey" or (status == 404 and action == "read"):
        return NotFoundError(f"{where}: no such object; check the storage and the job's name")
    if status in (401, 403):
        return StorageRefused(f"{prefix}: access denied; allow {_RIGHTS[action]} there, or use other credentials")
    if status >= 500 or status == 429 or code in _BUSY:
        tries = error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1
        return StorageUnavailable(f"{prefix}: {answer} (tries: {tries}); try again later")
    return StorageRefused(f"{prefix}: {answer}; check the storage and AWS_ENDPOINT_URL")


def _unanswered(error: BotoCoreError, prefix: str) -> StorageError:
    kind = type(error).__name__
    if isinstance(error, boto.NoCredentialsError):
        return StorageUnavailable(f"{prefix}: no AWS credentials found; set {_KEYS}, or AWS_PROFILE")
    if isinstance(error, boto.ProfileNotFound):
        return StorageRefused(f"{prefix}: AWS_PROFILE names no profile; correct or unset it")
    if is_of_credentials(error):
        return StorageUnavailable(f"{prefix}: the AWS credentials cannot be used ({kind}); {_LOG_IN}")
    if isinstance(error, boto.SSLError):
        return StorageRefused(
            f"{prefix}: no trusted TLS connection{_to(error)}; check AWS_ENDPOINT_URL, or set AWS_CA_BUNDLE"
        )
    if isinstance(error, _NO_ANSWER):
        return StorageUnavailable(f"{prefix}: no answer{_to(error)} ({kind}); check AWS_ENDPOINT_URL and the network")
    if isinstance(error, boto.ParamValidationError):
        return StorageError(f"{prefix}: S3 allows no such bucket or object name; correct the storage")
    return StorageRefused(f"{prefix}: {kind}; check the AWS settings, and that S3 answers at AWS_ENDPOINT_URL")


def _to(error: BotoCoreError) -> str:
    """The server of the request, without a user or password in its URL."""
    url = urlsplit(str(error.kwargs.get("endpoint_url") or ""))
    return f" from {url.scheme}://{url.netloc.rpartition('@')[2]}" if url.netloc else ""


def _tame(code: str) -> str:
    """A server's error code as a short word of safe characters."""
    return re.sub(r"[^A-Za-z0-9._-]", "", code)[:60]
