"""The files that the controller sends to workers on gateways, and their paths there.

pytest-xdist copies directories (`--rsyncdir`, `rsyncdirs`) below the directory in which a worker starts, each
under its own name. If no directory is given, the root directory is copied. The paths in the arguments of a
worker's pytest are the paths of the copies.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud import options
from pytest_microcloud.errors import UserMistake

if TYPE_CHECKING:
    import pytest

WITH_VALUE = ("-k", "-m", "-n", "-o", "-p", "-r", "-W")
"""The short options of pytest whose value is never a path, even if a file has the value as its name."""


class SentFiles:
    """The directories that are copied to gateways; `choose` sets the options of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._directory = config.invocation_params.dir
        chosen = [*config.option.rsyncdir, *config.getini("rsyncdirs")] or [config.rootpath]
        self._roots = [Path(self._directory, each).resolve() for each in chosen]

    def choose(self) -> None:
        """Make pytest-xdist copy the directories, but not the reports of earlier runs, to gateways."""
        option = self._config.option
        if not option.rsyncdir and not self._config.getini("rsyncdirs"):
            option.rsyncdir = [str(root) for root in self._roots]
        reports = options.path(self._config, "reports")
        no_files = [str(path) for root in self._roots for path in _no_files(root)]
        option.rsyncignore = [*option.rsyncignore, "__pycache__", str(reports.resolve()), *no_files]

    def arguments(self) -> tuple[str, ...]:
        """Return pytest's arguments for a worker on a gateway.

        Raises UserMistake if an argument names a path that is not copied to gateways.

        Paths are absolute: pytest-xdist replaces each path with the path of its copy. The arguments include
        PYTEST_ADDOPTS and `testpaths`, because a gateway has neither.
        """
        config = self._config
        given = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
        if config.args_source is not config.ArgsSource.ARGS:
            given += [str(Path(self._directory, each)) for each in config.args]
        moved = [*self._moved(given)]
        if not any(each.startswith("--rootdir") for each in moved):
            moved.insert(0, f"--rootdir={self.copy(config.rootpath, 'the root directory')}")
        return tuple(moved)

    def copies(self, files: Iterable[Path], what: str) -> list[str]:
        """Return the paths of the copies of several files, as `copy` does for one file."""
        return [self.copy(file, what) for file in files]

    def copy(self, file: Path, what: str) -> str:
        """Return the path of a file's copy, relative to the directory in which a worker starts.

        `what` describes the file in messages. Raises UserMistake if the file is not copied to gateways.
        """
        file = Path(self._directory, file).resolve()
        for root in self._roots:
            if file.is_relative_to(root):
                return str(Path(root.name, file.relative_to(root)))
        raise UserMistake(
            f"{file}: {what} would be missing on gateways, because no directory that is copied to "
            f"gateways holds this file ({', '.join(map(str, self._roots))}): add --rsyncdir={file.parent}"
        )

    def _moved(self, arguments: Iterable[str]) -> Iterator[str]:
        before = ""
        for argument in arguments:
            if before:
                argument, before = f"{before}{argument}", ""
            elif argument in WITH_VALUE:
                before = argument
                continue
            option, is_value, value = argument.partition("=")
            is_value = is_value if argument.startswith("-") else ""
            path, *rest = (value if is_value else argument).split("::")
            if not path or (argument.startswith("-") and not is_value) or not self._is_there(path):
                yield argument
            elif not is_value:
                self.copy(Path(path), "a path among pytest's arguments")
                yield "::".join([str(Path(self._directory, path).resolve()), *rest])
            else:
                try:
                    yield f"{option}={'::'.join([self.copy(Path(path), option), *rest])}"
                except UserMistake:
                    yield argument  # the file is not copied: only the controller needs it, as with --junitxml

    def _is_there(self, path: str) -> bool:
        try:
            return Path(self._directory, path).exists()
        except OSError:  # the argument is too long for a path
            return False


def _no_files(root: Path) -> Iterator[Path]:
    """Yield the paths below `root` that execnet cannot copy: sockets, pipes and devices."""
    for directory, directories, files in os.walk(root):
        directories[:] = [name for name in directories if not name.startswith(".")]
        paths = (Path(directory, name) for name in files)
        yield from (path for path in paths if not (path.is_symlink() or path.is_file()))
