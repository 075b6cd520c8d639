"""Wait for changes of a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .scripts import LANGUAGES
from .walk import MANIFESTS

SETTLE_MS = 300  # after a change, for those that come with it: a branch switch is one change
LOOK_MS = 200


def changes(workspace: Path, out: Path) -> Iterator[None]:
    """Once at the beginning, then after each change of a file that may matter; ends with Ctrl+C.

    What changes while the caller works on one change is the next.
    """
    from watchfiles import Change, DefaultFilter, watch

    index = out.resolve()

    class Sources(DefaultFilter):
        """Files that may hold scripts or say something about them, outside of the index itself."""

        def __call__(self, change: Change, path: str) -> bool:
            file = Path(path)
            return _matters(file) and not file.is_relative_to(index) and super().__call__(change, path)

    is_first = True
    changed_files = watch(
        workspace.resolve(),
        watch_filter=Sources(),
        debounce=SETTLE_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
    )
    try:
        for changed in changed_files:
            if is_first or changed:
                yield None
            is_first = False
    except KeyboardInterrupt:
        return


def _matters(file: Path) -> bool:
    """Also a name without a suffix, which may be a folder's that was moved."""
    return file.suffix in (*LANGUAGES, ".xml", "") or file.name in (*MANIFESTS, ".gitignore")
