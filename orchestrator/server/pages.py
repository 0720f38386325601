"""What a page consists of: parts that are drawn, sent and replaced each by itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from urllib.parse import quote

import jinja2


@dataclass(frozen=True)
class Part:
    """A piece of a page: its id, what the navigation calls it, its HTML, and its place among the others."""

    id: str
    nav: str
    html: str
    place: int

    @cached_property
    def version(self) -> str:
        """Differs where the HTML does."""
        return hashlib.blake2b(self.html.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Address:
    """Where the pages of the server are; ``base`` is the path before all of them."""

    base: str

    def job(self, name: str) -> str:
        """The page of a job."""
        return f"{self.base}/job/{quote(name, safe='')}"

    def trial(self, name: str, trial_id: str) -> str:
        """The page of a trial."""
        return f"{self.job(name)}/trial/{quote(trial_id, safe='')}"

    def compare(self, name: str) -> str:
        """The page of trials side by side."""
        return f"{self.job(name)}/compare"

    def sql(self, name: str) -> str:
        """The page that answers SQL."""
        return f"{self.job(name)}/sql"

    def picture(self, name: str, key: str) -> str:
        """A picture in a job's storage."""
        return f"{self.job(name)}/picture/{quote(key)}"


@cache
def template(name: str) -> jinja2.Template:
    """A template of the live page, which escapes what it is given."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.server", "web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
