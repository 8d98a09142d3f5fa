"""Images built on the host's engine: Debian bases, emulated boards, workloads.

Images are built once. The tag is a hash of everything that goes into the image, so a changed Dockerfile or
base results in a new image.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microcloud.catalog import Workload
from pytest_microcloud.catalog.picture import picture_page
from pytest_microcloud.controller import workspace
from pytest_microcloud.controller.engine import explained, within
from pytest_microcloud.controller.processes import ends_with_us
from pytest_microcloud.errors import DeadlineExceeded, EngineError, NotMeasured

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image

Say = Callable[[str], None]
CACHE_LABEL = "microcloud.cache"
WORKLOAD_SUITE = "bookworm"
"""The Debian release of the workloads' packages. It is the same on every board, so that boards can be
compared."""
BUILD_TIMEOUT_S = 1800
DEBOOTSTRAP_TIMEOUT_S = 1200
TRANSFER_TIMEOUT_S = 1800
"""Timeout for pulling, importing or loading an image: hundreds of MB may go to a slow card."""
ALSO_RUNS = {"arm64": ("arm",), "amd64": ("386",)}
"""A dict from an engine's architecture to other architectures whose images it can run, in Docker's names."""
ARMV6 = "armv6l"
"""The instruction set of the first Raspberry Pis. ARM images are for ARMv7 unless they state a variant. Older
engines also pull an ARMv7 image onto an ARMv6 board, where its containers end with exit code 132 or 139."""
RUN_ON_ARMV6 = ("", "v5", "v6")
"""Variants of ARM images that run on ARMv6; engines before 20.10 report an empty variant."""
_SLIM = Path(__file__).parent / "base"


def _nothing(_tag: str) -> None:
    pass


def base(engine: DockerClient, suite: str, say: Say, coming: Say = _nothing, isa: str | None = None) -> str:
    """Return the tag of a Debian base image: the registry's slim image, or an image made by debootstrap.

    `coming` is called with the tag of each image before the image is pulled or created. `isa` is the
    instruction set of the engine's machine, as that machine reports it.
    """
    from docker.errors import APIError

    tag = f"microcloud/base:{suite}"
    # Debian's ARMv5 images run on ARMv6. Their repository is separate, so no platform has to be selected.
    source = f"arm32v5/debian:{suite}-slim" if isa == ARMV6 else f"debian:{suite}-slim"
    with explained("this machine", f"getting {tag}"):
        if engine.images.list(name=tag):
            return tag
        try:
            coming(source)
            coming(tag)
            say(f"pulling {source}")
            _pull(engine, source).tag("microcloud/base", suite)
        except APIError:
            say(f"no registry responds; running debootstrap for {suite} (about a minute)")
            _debootstrap(engine, suite, tag)
    return tag


def build(
    engine: DockerClient,
    name: str,
    directory: Path,
    base_tag: str,
    say: Say,
    files: Mapping[str, bytes] | None = None,
    coming: Say = _nothing,
) -> str:
    """Build the Dockerfile in `directory` on a base, with `files` added to its context; return the tag.

    `coming` is called with the tag before the build. An image that exists is not built again.
    """
    with explained("this machine", f"looking for {base_tag}"):
        base_id = str(engine.images.get(base_tag).id)
    archive, digest = _context(directory, files or {}, base_id)
    tag = f"microcloud/{name}:{digest[:12]}"
    with explained("this machine", f"building {tag}"):
        if not engine.images.list(name=tag):
            coming(tag)
            say(f"building the image {tag} (once)")
            _build(engine, archive, tag, base_tag, {CACHE_LABEL: name})
    return tag


def _pull(engine: DockerClient, image: str) -> Image:
    step = f"pulling {image}"
    return within(TRANSFER_TIMEOUT_S, "this machine", step, lambda: engine.images.pull(image))


def _context(directory: Path, files: Mapping[str, bytes], base_id: str) -> tuple[io.BytesIO, str]:
    """Return a build context as a tar archive, and a digest of everything that goes into the image."""
    digest = hashlib.sha256(base_id.encode())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(path for path in directory.iterdir() if path.is_file()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
            tar.add(path, arcname=path.name)
        for entry, content in sorted(files.items()):
            digest.update(entry.encode() + b"\0" + content + b"\0")
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    archive.seek(0)
    return archive, digest.hexdigest()


def _build(engine: DockerClient, archive: io.BytesIO, tag: str, base_tag: str, marks: dict[str, str]) -> None:
    from docker.errors import BuildError

    try:
        within(
            BUILD_TIMEOUT_S,
            "this machine",
            f"building {tag}",
            lambda: engine.images.build(
                fileobj=archive,
                custom_context=True,
                tag=tag,
                buildargs={"BASE": base_tag},
                labels=marks,
                rm=True,
                forcerm=True,
                timeout=BUILD_TIMEOUT_S,
            ),
        )
    except BuildError as error:
        log = [line["stream"].strip() for line in error.build_log if line.get("stream", "").strip()]
        raise EngineError("this machine", "\n  ".join([f"building {tag}: {error.msg}", *log[-8:]])) from error


def workload(
    engine: DockerClient, wanted: Workload, say: Say, coming: Say = _nothing, isa: str | None = None
) -> str:
    """Return the tag of a workload's image on an engine. A missing image is pulled or built.

    `coming` and `isa` have the same meaning as in `base`. Raises NotMeasured if the image is not available.
    """
    from docker.errors import APIError

    if wanted.image is None:
        files = {wanted.page: picture_page()} if wanted.page else {}
        debian = base(engine, WORKLOAD_SUITE, say, coming, isa)
        return build(engine, wanted.id, wanted.directory, debian, say, files, coming)
    with explained("this machine", f"getting {wanted.image}"):
        if engine.images.list(name=wanted.image):
            return wanted.image
        try:
            if isa == ARMV6 and not _is_for_armv6(engine, wanted.image):
                raise NotMeasured(
                    f"{wanted.name}: the registry's {wanted.image} is not for ARMv6, as far as the board's "
                    "engine reports"
                )
            coming(wanted.image)
            say(f"pulling {wanted.image}")
            _pull(engine, wanted.image)
        except APIError as error:
            reason = str(error.explanation or error).rstrip(".").rpartition(": ")[2]
            raise NotMeasured(
                f"{wanted.name}: no image {wanted.image} on this machine, and no registry has it ({reason})"
            ) from error
    return wanted.image


def _is_for_armv6(engine: DockerClient, image: str) -> bool:
    """Return whether the registry, queried through the engine, has the image for ARMv6. Raises APIError."""
    from docker.errors import InvalidVersion

    try:
        platforms = engine.images.get_registry_data(image).attrs["Platforms"]
    except InvalidVersion:  # API < 1.30
        return False
    return any(p["architecture"] == "arm" and p.get("variant") in RUN_ON_ARMV6[1:] for p in platforms)


def transfer(source: DockerClient, target: DockerClient, tag: str, board: str) -> None:
    """Stream an image from one engine to a board's engine, without holding it in memory."""
    chunks = source.images.get(tag).save(named=True)
    load = partial(target.images.load, chunks)  # type: ignore[arg-type]  # requests also accepts an iterator
    if not within(TRANSFER_TIMEOUT_S, board, f"loading {tag}", load):  # docker-py accepts a cut-off answer
        raise EngineError(board, f"loading the image {tag}: the engine ended before the image was complete")


def must_run_on(
    target: DockerClient, source: DockerClient, tag: str, board: str, isa: str | None = None
) -> None:
    """Raise EngineError if the machine of the engine `target` cannot run the image that is on `source`."""
    image = source.images.get(tag).attrs
    wanted, here = str(target.version()["Arch"]), str(image["Architecture"])
    variant = str(image.get("Variant") or "")
    if here != wanted and here not in ALSO_RUNS.get(wanted, ()):
        raise EngineError(board, f"the image {tag} is for {here}, and the board is {wanted}")
    if isa == ARMV6 and variant not in RUN_ON_ARMV6:
        raise EngineError(board, f"the image {tag} is for {here}{variant}, and the board is {isa}")


def forget(engine: DockerClient) -> list[str]:
    """Remove all images that this package built, and return their names."""
    with explained("this machine", "removing images"):
        tags = sorted(tag for image in engine.images.list(name="microcloud/*") for tag in image.tags)
        for tag in tags:
            engine.images.remove(tag, force=True)
    return [f"image {tag}" for tag in tags]


def _fill(directory: Path, suite: str) -> None:
    command = [*ends_with_us(), "debootstrap", "--variant=minbase", suite, str(directory)]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, timeout=DEBOOTSTRAP_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(
            "this machine", f"debootstrap {suite} did not end within {DEBOOTSTRAP_TIMEOUT_S} s"
        ) from error
    if made.returncode != 0:
        raise EngineError(
            "this machine", f"debootstrap {suite} failed: {(made.stderr or made.stdout)[-400:].strip()}"
        )


def _debootstrap(engine: DockerClient, suite: str, tag: str) -> None:
    here = engine.info()["Architecture"] == platform.machine()
    if not here or os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise EngineError(
            "this machine",
            f"no registry provides debian:{suite}-slim. Use a custom image (`docker tag IMAGE {tag}`), or "
            "let debootstrap build one, which works for this machine's architecture only: run `apt-get "
            "install debootstrap`, then run pytest once as root",
        )
    with workspace.scratch() as directory:
        _fill(directory, suite)
        shutil.copytree(_SLIM, directory, dirs_exist_ok=True)
        excluded = (
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
            "var/cache/apt/*",
            "var/lib/apt/lists/*",
        )
        tar = ["tar", "-C", str(directory), *(f"--exclude=./{path}" for path in excluded), "-c", "."]
        repository, _, version = tag.partition(":")
        with (
            explained("this machine", f"importing {tag}"),
            subprocess.Popen(tar, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as packing,
        ):
            pack = partial(
                engine.api.import_image_from_stream, packing.stdout, repository=repository, tag=version
            )
            within(TRANSFER_TIMEOUT_S, "this machine", f"importing {tag}", pack)
