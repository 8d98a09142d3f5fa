"""The SSH keys of an emulated board, which the controller generates before the first login."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.errors import EngineError

if TYPE_CHECKING:
    from docker.models.containers import Container


class Keys:
    """A board's host key and the run's login key. Private keys exist only in `directory` and on the board."""

    def __init__(self, directory: Path, board: str) -> None:
        self.login = directory / "id"
        self._host = directory / f"{board}.host"

    @property
    def host_key(self) -> str:
        """The board's public host key; empty before `install`."""
        public = _public(self._host)
        return public.read_text().strip() if public.exists() else ""

    def install(self, container: Container) -> None:
        """Generate missing keys and install them on the board. Raises EngineError."""
        for key in (self.login, self._host):
            if not key.exists():
                _make(key)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            home = tarfile.TarInfo("root/.ssh")
            home.type, home.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(home)
            for path, file in (
                ("etc/ssh/ssh_host_ed25519_key", self._host),
                ("etc/ssh/ssh_host_ed25519_key.pub", _public(self._host)),
                ("root/.ssh/authorized_keys", _public(self.login)),
            ):
                content = file.read_bytes()
                info = tarfile.TarInfo(path)
                info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
                tar.addfile(info, io.BytesIO(content))
        container.put_archive("/", archive.getvalue())


def _public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def _make(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "microcloud", "-f", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or b""
        raise EngineError(
            "this machine",
            f"ssh-keygen did not create a key: {output.decode(errors='replace').strip() or error}",
        ) from error
