"""A model hub's repositories: brought into the hub's local cache once, and the commit that a branch stands for.

Comes in: `hub:<organisation>/<name>`, with `@<revision>` if one is wanted. Goes out: a local folder, a commit. What
else lies elsewhere is `quant.inputs.sources`'s to fetch. Imports no torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from quant.errors import ModelError

HUB = "hub:"
# How names of file systems elsewhere begin, such as `s3://` or fsspec's chains `zip::s3://`; a path of this machine may
# have a colon of its own.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
COMMIT = re.compile(r"[0-9a-f]{40}")
BRANCH = "main"
SECONDS = 10.0
# The same weights again in another layout, or as pickles: no engine here reads them, and they double what is fetched.
UNREAD = ["original/*", "consolidated*", "*.pth", "*.pt", "*.bin", "*.ckpt", "*.gguf", "*.onnx", "*.h5", "*.msgpack"]


Kind = Literal["model", "dataset"]


def elsewhere(source: str) -> bool:
    """Say whether a source lies on the hub or in another file system; it is a path of this machine otherwise."""
    return source.startswith(HUB) or URL.match(source) is not None


class Repository(NamedTuple):
    """One repository of the hub at a revision: a branch, a tag or a commit."""

    name: str
    revision: str = BRANCH

    @classmethod
    def of(cls, source: str, revision: str = "") -> Repository:
        """Read `hub:<organisation>/<name>[@<revision>]`; `revision` comes before what stands behind the @."""
        name, _, behind = source.removeprefix(HUB).partition("@")
        return cls(name, revision or behind or BRANCH)

    @property
    def pinned(self) -> bool:
        """Say whether the revision is a full commit, which always stands for the same files."""
        return COMMIT.fullmatch(self.revision) is not None

    def folder(self, where: str, kind: Kind = "model") -> Path:
        """Return the local folder of the repository; `ModelError` if it is neither in the cache nor on the hub."""
        from httpx import HTTPError
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        offline = constants.HF_HUB_OFFLINE  # without `local_files_only`, a commit in an older cache would not be found
        try:
            folder = snapshot_download(
                self.name, repo_type=kind, revision=self.revision, ignore_patterns=UNREAD, local_files_only=offline
            )
            return Path(folder)
        except (HTTPError, HfHubHTTPError, LocalEntryNotFoundError, ValueError, OSError) as error:
            wanted = f"{self.name} at revision {self.revision}"
            msg = f"{where}: {wanted} was found neither in the hub's local cache nor on the hub"
            raise ModelError(f"{msg} ({type(error).__name__}); check `source`, `revision`, HF_HUB_OFFLINE") from error

    def commit(self, kind: Kind = "model") -> str:
        """Return the commit that the revision stands for now: asked of the hub, else of its local cache; "" if unknown.

        Fetches no file.
        """
        if self.pinned:
            return self.revision
        from httpx import HTTPError
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        try:
            return HfApi().repo_info(self.name, repo_type=kind, revision=self.revision, timeout=SECONDS).sha or ""
        except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, ValueError, OSError):
            folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{self.name.replace('/', '--')}"
            ref = folder / "refs" / self.revision
            return ref.read_text().strip() if ref.is_file() else ""


def commit(folder: Path) -> str:
    """Return the commit of a folder in the hub's cache, whose last part is its name; "" elsewhere."""
    return folder.name if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name) else ""
