"""Progress on a terminal: how far attachments are, how fast, and for how long yet; nothing elsewhere, nor with --json or --quiet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from comity.attachment import Progress, Stage
from comity.cli.base import Invocation

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_WORDS = {
    Stage.SEALING: "encrypting",
    Stage.UPLOADING: "uploading",
    Stage.DOWNLOADING: "downloading",
}


class AttachmentBars:
    """A bar for each stage of each attachment. `tell` is what `progress` of the SDK takes."""

    def __init__(self, run: Invocation) -> None:
        self._shown = sys.stderr.isatty() and not run.output.json and not run.output.quiet
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, int, Stage], TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()

    def tell(self, progress: Progress, name: str = "") -> None:
        """Show how far one stage has come; the first time a bar is made."""
        if not self._shown:
            return
        bars = self._started()
        key = (name, progress.portion, progress.stage)
        task = self._tasks.get(key)
        if task is None:
            words = f"{_WORDS[progress.stage]} {name} portion {progress.portion + 1}".replace("  ", " ")
            task = self._tasks[key] = bars.add_task(words, total=progress.total)
        bars.update(task, completed=progress.done)

    def _started(self) -> Bars:
        if self._bars is None:
            from rich.console import Console  # noqa: PLC0415 - a fifth of a second, for bars nobody may see
            from rich.progress import (  # noqa: PLC0415 - the same
                BarColumn,
                DownloadColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as Bars  # noqa: PLC0415 - the same

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        return self._bars
