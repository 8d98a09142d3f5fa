"""The verdict matrix on top of pytest-html's page (`reports/feasibility.html`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_microcloud.boards.board import Board
    from pytest_microcloud.boards.facts import Facts, Frequency
    from pytest_microcloud.catalog import Experiment
    from pytest_microcloud.experiments.measurement import Measurement
    from pytest_microcloud.report.privacy import Privacy
    from pytest_microcloud.runs import Entry
    from pytest_microcloud.verdict.matrix import Cell


def summary(
    table: Mapping[str, Mapping[str, Cell]],
    entries: list[Entry],
    boards: Mapping[str, Board],
    experiments: Mapping[str, Experiment],
    limits_about: str,
    privacy: Privacy,
) -> list[str]:
    """Return the page's own parts as HTML; texts that are not ours are escaped, and free ones masked."""
    style = resources.files(__package__).joinpath("feasibility.css").read_text(encoding="utf-8")
    names = list(next(iter(table.values()), {}))
    head = "".join(
        f'<th scope="col"{_title(experiments[n].about) if n in experiments else ""}>{escape(n)}</th>'
        for n in names
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(board)}{_about(boards.get(board))}</th>'
        + "".join(_cell(cells[name], privacy) for name in names)
        + "</tr>"
        for board, cells in table.items()
    )
    matrix = (
        '<div class="mc-scroll"><table class="mc-matrix">'
        f"<caption>Can it host a micro-cloud? {escape(limits_about)}</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    fingerprints = [_board(board, privacy) for board in boards.values()]
    return [f"<style>{style}</style>", matrix, *fingerprints, _numbers(entries, privacy)]


def _title(text: str) -> str:
    return f' title="{escape(text, quote=True)}"'


def _about(board: Board | None) -> str:
    if board is None:
        return "<small>never came up</small>"
    emulated = "<b class='mc-emulated'>emulated</b> " if board.driver.emulated else ""
    return f"<small>{emulated}{escape(board.model.name)}</small>"


def _cell(cell: Cell, privacy: Privacy) -> str:
    remarks = (cell.remark, *cell.reasons) if cell.remark else cell.reasons
    reasons = "".join(f"<small>{escape(privacy.on_page(remark))}</small>" for remark in remarks)
    return (
        f'<td class="{_class(cell)}"><b>{escape(cell.verdict)}</b><br>{escape(cell.headline)}{reasons}</td>'
    )


def _class(judged: Cell | Measurement) -> str:
    """Return the class that colours a verdict; one without any limit behind it gets no colour."""
    return f"mc-{escape(judged.verdict.replace(' ', '-'), quote=True)}" if judged.judged else "mc-unjudged"


def _board(board: Board, privacy: Privacy) -> str:
    facts = board.facts
    rows = {
        "Hardware": _hardware(board),
        "Operating system": facts.os_release,
        "Kernel": f"{facts.kernel} ({facts.isa})",
        facts.engine: ", ".join(_engine(facts)),
        "CPUs, memory": ", ".join(_memory(facts)),
        "Clock": _clock(facts.frequency),
        "SD card": facts.card and facts.card.name,
        "Driver": board.driver.name,
    }
    if privacy.identify:
        rows |= {
            "Address": board.target.address,
            "Serial number": facts.serial,
            "SD card's CID": facts.card and facts.card.cid,
        }
    listed = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(privacy.on_page(value))}</dd>"
        for key, value in rows.items()
        if value
    )
    for heading, texts in (
        ("Not emulated", board.gaps),
        ("Not watched", board.unwatched),
        ("Others' containers", board.others),
    ):
        if texts:
            points = "".join(f"<li>{escape(privacy.on_page(text))}</li>" for text in texts)
            listed += f"<dt>{escape(heading)}</dt><dd><ul>{points}</ul></dd>"
    return f'<section class="mc-board"><h3>{escape(board.name)}</h3><dl>{listed}</dl></section>'


def _hardware(board: Board) -> str | None:
    if board.driver.emulated:
        return None
    facts = board.facts
    if (known := facts.identity) is None:
        said = facts.tree_model or (f"revision code {facts.revision_code}" if facts.revision_code else None)
        return f"not recognised{f' ({said})' if said else ''}: {board.model.name} as the inventory says"
    told = (
        known.name,
        f"PCB {known.pcb}" if known.pcb else None,
        known.soc,
        f"{known.ram_bytes >> 20} MB" if known.ram_bytes else None,
        known.manufacturer,
        known.evidence,
    )
    return ", ".join(text for text in told if text)


def _engine(facts: Facts) -> Iterator[str]:
    if facts.docker_version:
        yield facts.docker_version
    if facts.containerd_version:
        yield f"containerd {facts.containerd_version}"
    if facts.storage_driver:
        yield facts.storage_driver
    if facts.cgroup_version:
        yield f"cgroup v{facts.cgroup_version}"


def _memory(facts: Facts) -> Iterator[str]:
    if facts.cpus:
        yield str(facts.cpus)
    yield f"{facts.memory_bytes / 2**20:.0f} MiB"
    if facts.gpu_bytes:
        yield f"GPU {facts.gpu_bytes / 2**20:.0f} MiB"
    if facts.swap_bytes is not None:
        yield f"swap {facts.swap_bytes / 2**20:.0f} MiB" if facts.swap_bytes else "no swap"


def _clock(frequency: Frequency | None) -> str | None:
    if frequency is None:
        return None
    bounds = "–".join(f"{hz / 1e6:.0f}" for hz in (frequency.min_hz, frequency.max_hz) if hz)
    now = f"{frequency.now_hz / 1e6:.0f} MHz when asked" if frequency.now_hz else None
    told = (frequency.governor, f"{bounds} MHz" if bounds else None, now)
    return ", ".join(text for text in told if text)


def _numbers(entries: list[Entry], privacy: Privacy) -> str:
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
            note = f"<small>{escape(privacy.on_page(m.remark))}</small>" if m.remark else ""
            rows.append(
                f"<tr><td>{escape(entry.board)}</td>"
                + "".join(f"<td>{escape(privacy.on_page(figure))}</td>" for figure in figures)
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
