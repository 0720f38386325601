"""Published data sets, which torchvision can fetch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from orchestrator.data.dataset import Dataset
from orchestrator.data.folders import folder_at

if TYPE_CHECKING:
    from pathlib import Path


class PublishedDataset(Dataset):
    """A data set under ``root`` in torchvision's layout; torchvision fetches missing files if ``download`` is set."""

    root: str = "data"
    """folder that the data set lies in"""
    download: bool = False
    """whether the data set may be fetched"""

    places: ClassVar[frozenset[str]] = frozenset({"root", "download"})

    @property
    def awaits_download(self) -> bool:
        """Whether ``download`` is set and files are missing."""
        return self.download and self._missing()

    @abstractmethod
    def _missing(self) -> bool:
        """Whether any file is missing."""

    @property
    def root_folder(self) -> Path:
        """The absolute path of ``root``."""
        return folder_at(self.root, "data.root")
