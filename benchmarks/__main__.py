"""`python -m benchmarks [--quick] [--models=pi3b,…] [--only=link,…]`: measure, and print the table."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from dataclasses import dataclass

from benchmarks import rows, stored
from benchmarks.emulated import Recorded, emulated
from benchmarks.row import Row, table
from pytest_microcloud.boards.board import Board
from pytest_microcloud.catalog import Catalog, load
from pytest_microcloud.errors import MicrocloudError


@dataclass(frozen=True)
class Extent:
    """How much the benchmarks measure: the number of pairs, requests, containers and repetitions."""

    collecting_pairs: int
    pairs: int
    requests: int
    containers: int
    ratings: int
    comparisons: int


WITHOUT_A_BOARD = ("collecting", "compare", "report")
ON_A_BOARD = ("link", "sevenzip", "memory", "serving", "hosting")
ROWS = (*WITHOUT_A_BOARD, *ON_A_BOARD)
OF_EACH_MODEL = ("sevenzip", "memory")
STORED_RUNS = 1000
STANDARD = Extent(collecting_pairs=25, pairs=5, requests=1000, containers=12, ratings=7, comparisons=10)
QUICK = Extent(collecting_pairs=15, pairs=3, requests=500, containers=8, ratings=3, comparisons=5)


def main() -> int:
    """Measure and print the table; return 0 if every row was measured and meets its requirement, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what the harness itself costs."
    )
    parser.add_argument("--quick", action="store_true", help="measure fewer pairs and repetitions")
    parser.add_argument(
        "--models",
        default="pi3b",
        metavar="MODEL,…",
        help="board models to rate with 7-Zip; only the first model is used for other rows (default: pi3b)",
    )
    parser.add_argument(
        "--only", default=",".join(ROWS), metavar="ROW,…", help=f"rows to measure (default: {','.join(ROWS)})"
    )
    chosen = parser.parse_args()
    only = chosen.only.split(",")
    if unknown := set(only) - set(ROWS):
        parser.error(f"--only: no row is named {', '.join(sorted(unknown))} (rows: {', '.join(ROWS)})")
    measured: list[Row] = []
    failed = False
    try:
        _measure(measured, load(), chosen.models.split(","), only, QUICK if chosen.quick else STANDARD)
    except MicrocloudError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        failed = True
    finally:  # print what was measured before an error or Ctrl-C
        if measured:
            print(f"\n{_machine()}\n\n{table(measured)}", flush=True)
    return 1 if failed or not all(row.kept for row in measured) else 0


def _measure(
    measured: list[Row], catalog: Catalog, models: list[str], only: list[str], extent: Extent
) -> None:
    for name in models:
        catalog.model(name)  # report an unknown model before measuring
    if "collecting" in only:
        measured.append(rows.collecting(extent.collecting_pairs))
    if "compare" in only:
        measured.append(stored.compare(extent.comparisons))
    if "report" in only:
        measured += stored.report(STORED_RUNS)
    for name in models:
        each = [row for row in ON_A_BOARD if row in only and (name == models[0] or row in OF_EACH_MODEL)]
        if each:
            progress = Recorded()
            with emulated(name, catalog, progress) as board:
                measured.extend(_on_board(row, board, catalog, progress, extent) for row in each)


def _on_board(row: str, board: Board, catalog: Catalog, progress: Recorded, extent: Extent) -> Row:
    if row == "link":
        return rows.link(board, extent.pairs)
    if row == "sevenzip":
        return rows.sevenzip(board, extent.ratings)
    if row == "memory":
        return rows.memory(board)
    if row == "serving":
        return rows.serving_load(board, catalog, extent.pairs, extent.requests)
    return rows.hosting_fill(board, catalog, progress, extent.pairs, extent.containers)


def _machine() -> str:
    ab = shutil.which("ab") or "no ab"
    return (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {ab}; measured side by side, in alternating pairs"
    )


if __name__ == "__main__":
    sys.exit(main())
