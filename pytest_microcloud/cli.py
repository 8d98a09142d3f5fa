"""The `microcloud` command."""

from __future__ import annotations

import argparse
import sys

from pytest_microcloud.errors import MicrocloudError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if it worked, 1 if not, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="microcloud", description="Looks after what pytest-microcloud leaves on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    clean = commands.add_parser("clean", help="remove boards that were kept or left by killed runs")
    clean.add_argument(
        "--cache", action="store_true", help="also remove built images, SD cards and CPU calibrations"
    )
    chosen = parser.parse_args(arguments)
    try:
        for removed in _clean(cache=chosen.cache):
            print(f"removed {removed}")
    except MicrocloudError as error:
        print(f"microcloud: {error}", file=sys.stderr)
        return 1
    return 0


def _clean(*, cache: bool) -> list[str]:
    import shutil

    from pytest_microcloud.boards import calibration, engine, images, workspace

    host = engine.host_engine()
    try:
        removed = engine.clean(host, kept=True)
        removed += [f"the files of run {run_id}" for run_id in workspace.remove_abandoned()]
        if cache:
            removed += images.forget(host)
            shutil.rmtree(calibration.cache_directory(), ignore_errors=True)
            removed.append("CPU calibrations")
    finally:
        host.close()
    return removed


if __name__ == "__main__":
    sys.exit(main())
