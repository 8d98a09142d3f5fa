"""The verdict matrix on top of pytest-html's page (`reports/feasibility.html`)."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.catalog import Experiment
    from pytest_microcloud.experiments.measurement import Measurement
    from pytest_microcloud.verdict.matrix import Cell, Entry


def summary(
    table: Mapping[str, Mapping[str, Cell]],
    entries: list[Entry],
    boards: Mapping[str, Board],
    experiments: Mapping[str, Experiment],
    limits_about: str,
) -> list[str]:
    """Return the page's own parts as HTML; every text that is not ours is escaped."""
    style = resources.files(__package__).joinpath("feasibility.css").read_text(encoding="utf-8")
    names = list(next(iter(table.values()), {}))
    head = "".join(
        f'<th scope="col"{_title(experiments[n].about) if n in experiments else ""}>{escape(n)}</th>'
        for n in names
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(board)}{_about(boards.get(board))}</th>'
        + "".join(_cell(cells[name]) for name in names)
        + "</tr>"
        for board, cells in table.items()
    )
    matrix = (
        '<div class="mc-scroll"><table class="mc-matrix">'
        f"<caption>Can it host a micro-cloud? {escape(limits_about)}</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return [f"<style>{style}</style>", matrix, *(_board(b) for b in boards.values()), _numbers(entries)]


def _title(text: str) -> str:
    return f' title="{escape(text, quote=True)}"'


def _about(board: Board | None) -> str:
    if board is None:
        return "<small>never came up</small>"
    emulated = "<b class='mc-emulated'>emulated</b> " if board.driver.emulated else ""
    return f"<small>{emulated}{escape(board.model.name)}</small>"


def _cell(cell: Cell) -> str:
    remarks = (cell.remark, *cell.reasons) if cell.remark else cell.reasons
    reasons = "".join(f"<small>{escape(remark)}</small>" for remark in remarks)
    return (
        f'<td class="{_class(cell)}"><b>{escape(cell.verdict)}</b><br>{escape(cell.headline)}{reasons}</td>'
    )


def _class(judged: Cell | Measurement) -> str:
    """Return the class that colours a verdict; one without any limit behind it gets no colour."""
    return f"mc-{escape(judged.verdict.replace(' ', '-'), quote=True)}" if judged.judged else "mc-unjudged"


def _board(board: Board) -> str:
    facts = board.facts
    rows = {
        "Operating system": facts.os_release,
        "Kernel": f"{facts.kernel} ({facts.isa})",
        "Docker": f"{facts.docker_version}, {facts.storage_driver}, cgroup v{facts.cgroup_version}",
        "CPUs, memory": f"{facts.cpus}, {facts.memory_bytes / 2**20:.0f} MiB",
        "Driver": board.driver.name,
    }
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows.items())
    if board.gaps:
        listed += (
            "<dt>Not emulated</dt><dd><ul>"
            + "".join(f"<li>{escape(g)}</li>" for g in board.gaps)
            + "</ul></dd>"
        )
    return f'<section class="mc-board"><h3>{escape(board.name)}</h3><dl>{listed}</dl></section>'


def _numbers(entries: list[Entry]) -> str:
    from pytest_microcloud.experiments.measurement import shown

    rows = []
    for entry in entries:
        for m in (m for m in entry.measurements if m.samples):
            labels = ", ".join(f"{key}={value}" for key, value in m.labels.items())
            bound = ""
            if m.limit:
                kind = "max" if "max" in m.limit else "min"
                bound = (
                    f"{kind} {shown(m.limit[kind], m.unit)} ({m.limit['statistic']}) — {m.limit['source']}"
                )
            figures = (
                m.metric,
                labels,
                shown(m.median, m.unit),
                shown(m.statistic("p95"), m.unit),
                shown(m.statistic("p99"), m.unit),
                str(len(m.samples)),
                bound,
            )
            note = f"<small>{escape(m.remark)}</small>" if m.remark else ""
            rows.append(
                f"<tr><td>{escape(entry.board)}</td>"
                + "".join(f"<td>{escape(figure)}</td>" for figure in figures)
                + f'<td class="{_class(m)}">{escape(m.verdict)}{note}</td></tr>'
            )
    if not rows:
        return ""
    heads = ("board", "metric", "labels", "median", "p95", "p99", "samples", "limit", "verdict")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<details class="mc-numbers" open><summary>Every number, with its limit</summary>'
        '<div class="mc-scroll">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )
