"""The page's own parts: everything is shown, and no text becomes markup."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud import report
from pytest_microcloud.boards.board import Board
from pytest_microcloud.boards.drivers.ssh import SshDriver
from pytest_microcloud.boards.facts import Card, Facts, Frequency
from pytest_microcloud.boards.identity import by_code
from pytest_microcloud.catalog import Catalog, Description, Metric
from pytest_microcloud.controller.progress import Progress, Steps
from pytest_microcloud.inventory.target import Target
from pytest_microcloud.measurement import Measurement
from pytest_microcloud.redaction import MASK, Redactor
from pytest_microcloud.report import feasibility
from pytest_microcloud.runs import WORST_FIRST, Entry, Run
from pytest_microcloud.runs.fingerprint import Fingerprint
from pytest_microcloud.runs.plan import Plan
from pytest_microcloud.session.report_record import fingerprint
from tests.support.driver_context import context

HOSTILE = """ "'><script>alert('x')</script><img src=x onerror=alert(1)>&amp;</td></table></details> """
VOID = {"br", "img", "meta"}


class Page(HTMLParser):
    """What a browser makes of the page: elements, names of their attributes, texts, values, classes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.values: list[str] = []
        self.classes: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        self.values += [value or "" for name, value in attributes if name != "class"]
        self.classes += [value or "" for name, value in attributes if name == "class"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes what is open"

    def handle_data(self, text: str) -> None:
        if "script" not in self._open:  # the data of plots is JSON, which has another form of a text
            self.texts.append(text)

    def count(self, text: str) -> int:
        return sum(text in shown for shown in (*self.texts, *self.values))


def board(catalog: Catalog, directory: Path, text: str) -> Board:
    """Return a board as it is once it is up, every free text of it that one; nothing is connected."""
    target = Target("desk", "pi3b", "ssh")
    model = dataclasses.replace(catalog.model("pi3b"), name=text)
    up = Board(target, model, SshDriver(context(target)), "run", 0, directory, Steps(Progress(), "desk"))
    up.facts = Facts(text, text, text, 4, 10**9, text, text, text, text)
    up.gaps = (text, text)
    return up


def measurement(text: str, verdict: str = "infeasible") -> Measurement:
    m = Measurement(
        f"my.{text}", [0.1, 0.2], {text: text}, verdict, reason=text, unit=f"W{text}", better="lower"
    )
    m.limit = {"max": 1.0, "statistic": text, "source": text}
    return m


def page(
    entries: list[Entry],
    boards: dict[str, Board] | None = None,
    experiments: dict[str, Description] | None = None,
    about: str = "",
    *,
    identify: bool = False,
) -> Page:
    boards, shipped = boards or {}, catalogs.shipped()
    models = dict(shipped.models) | {up.model.id: up.model for up in boards.values()}
    catalog = dataclasses.replace(shipped, models=models, experiments=experiments or {})
    fingerprints = {
        name: Fingerprint.of(
            json.loads(
                json.dumps(fingerprint(up, "controller") | {"address": up.target.address}, default=str)
            )
        )
        for name, up in boards.items()
    }
    run = Run(Path("run.json"), "", about, fingerprints, tuple(entries), Plan())
    return Page("".join(feasibility.summary(run, catalog, Redactor(identify=identify))))


def page_of(text: str, catalog: Catalog, directory: Path) -> Page:
    entries = [
        Entry(text, text, text, "infeasible", text, [measurement(text)]),
        Entry(f"{text} 2", text, text, "error", text),
    ]
    experiments = {text: Description(name=text, about=text, metrics=(Metric(f"my.{text}", "s", "lower"),))}
    return page(entries, {text: board(catalog, directory, text)}, experiments, text)


def test_no_text_becomes_markup_wherever_it_stands(catalog: Catalog, tmp_path: Path) -> None:
    harmless = page_of("harmless", catalog, tmp_path)
    hostile = page_of(HOSTILE, catalog, tmp_path)
    assert hostile.elements == harmless.elements
    assert "img" not in {tag for tag, _ in hostile.elements}, "and the scripts are those that draw plots"
    assert hostile.classes == harmless.classes


def test_every_text_is_shown_as_it_was_written(catalog: Catalog, tmp_path: Path) -> None:
    harmless = page_of("harmless", catalog, tmp_path)
    hostile = page_of(HOSTILE, catalog, tmp_path)
    assert hostile.count(HOSTILE) == harmless.count("harmless") > 20


def test_a_hostile_verdict_stays_within_its_class() -> None:
    shown = page([Entry("desk", "io", "test", "feasible", "", [measurement("x", HOSTILE)])])
    assert {"script", "img"}.isdisjoint(tag for tag, _ in shown.elements)


@pytest.mark.parametrize("verdict", WORST_FIRST)
def test_every_verdict_is_written_in_words_and_has_a_class_that_the_style_knows(verdict: str) -> None:
    shown = page([Entry("desk", "io", "test", verdict, "", [measurement("x", verdict)])])
    kind = f"mc-{verdict.replace(' ', '-')}"
    assert shown.classes.count(kind) == 2
    assert shown.texts.count(verdict) == 2
    style = resources.files(report).joinpath("page.css").read_text(encoding="utf-8")
    assert f".{kind}" in style


def over_boots(samples: dict[int, list[float]], **how: str) -> list[Entry]:
    return [
        Entry(
            "desk",
            "io",
            f"test[boot{boot}]",
            "feasible",
            "",
            [Measurement("io.memory_time", values, {"size": "4KiB"}, how.get(f"boot{boot}", "feasible"))],
            boot,
        )
        for boot, values in samples.items()
    ]


def rows_of_numbers(shown: Page) -> int:
    """Return how many rows the table of all numbers has: each has one cell of that class."""
    return shown.classes.count("mc-free")


def test_a_metric_is_one_row_over_all_boots_with_the_spread_over_them() -> None:
    shown = page(over_boots({1: [0.010, 0.011, 0.090], 2: [0.021], 3: [0.031]}))
    assert rows_of_numbers(shown) == 1
    for text in ("21 ms", "16 ms", "26 ms", "5", "3", "1st quartile", "3rd quartile", "boots"):
        assert text in shown.texts


def test_one_boot_has_no_columns_of_spread() -> None:
    assert "1st quartile" not in page(over_boots({1: [0.01]})).texts


def test_an_invalid_boot_is_named_and_its_value_left_out() -> None:
    shown = page(over_boots({1: [0.010], 2: [0.010], 3: [0.9]}, boot3="invalid"))
    assert rows_of_numbers(shown) == 1
    assert {"invalid", "in 1 of 3 boots", "10 ms"} <= set(shown.texts)
    assert "900 ms" not in shown.texts


def test_stages_of_a_confirmation_have_rows_of_their_own() -> None:
    entries = over_boots({1: [0.010]})
    confirming = [dataclasses.replace(entries[0], stage=stage) for stage in ("baseline", "candidate")]
    shown = page([*entries, *confirming])
    assert rows_of_numbers(shown) == 3
    assert {"size=4KiB, baseline", "size=4KiB, candidate"} <= set(shown.texts)


def test_of_many_reasons_the_first_are_listed_and_the_others_counted() -> None:
    entries = [Entry("desk", "io", f"test[{n}]", "error", f"reason {n}.", boot=n) for n in range(50)]
    shown = page(entries)
    assert "and 42 more" in shown.texts
    assert "reason 7." in shown.texts
    assert "reason 8." not in shown.texts


def test_a_number_stands_with_its_statistics_its_limit_and_the_limits_source() -> None:
    m = Measurement("io.disk_read_time", [0.001 * n for n in range(1, 102)], {"size": "4KiB"})
    m.limit = {"max": 0.0033, "statistic": "median", "source": "its data sheet"}
    shown = page([Entry("desk", "io", "test_disk", "infeasible", "too slow", [m])])
    for text in ("io.disk_read_time", "size=4KiB", "51 ms", "96 ms", "100 ms", "101"):
        assert text in shown.texts
    assert "max 3.3 ms (median) — its data sheet" in shown.texts


def test_a_least_value_is_shown_as_a_least_value() -> None:
    m = Measurement("serving.capacity", [82.0], {"setting": "docker"})
    m.limit = {"min": 250, "statistic": "median", "source": "the paper"}
    shown = page([Entry("desk", "serving", "test_capacity", "infeasible", "", [m])])
    assert "min 250 clients (median) — the paper" in shown.texts


def test_a_measurement_without_samples_does_not_break_the_page() -> None:
    empty = Measurement("hosting.memory_per_container", [], {"workload": "ruby"})
    full = Measurement("hosting.containers", [3.0], {"workload": "ruby"})
    shown = page([Entry("desk", "hosting", "test", "infeasible", "failed", [empty, full])])
    assert "hosting.containers" in shown.texts


def test_a_board_shows_the_means_by_which_it_is_emulated() -> None:
    means = {"round_trip": "a delay line in user space", "rate": "u32"}
    board = Fingerprint("pi3b", emulated=True, emulated_by=means)
    run = Run(Path("run.json"), "", "quick", {"desk": board}, (Entry("desk", "io", "t", "feasible"),), Plan())
    html = "".join(feasibility.summary(run, catalogs.shipped(), Redactor()))
    assert "<dt>Emulated by</dt>" in html
    assert "<li>round trip: a delay line in user space</li>" in html


def test_a_board_that_never_came_up_has_its_row_and_says_so() -> None:
    shown = page([Entry("desk", "io", "test", "error", "no SSH connection")])
    assert "never came up" in shown.texts
    assert "no SSH connection" in shown.texts


def test_a_board_tells_its_facts_and_what_is_not_emulated(catalog: Catalog, tmp_path: Path) -> None:
    desk = board(catalog, tmp_path, "desk")
    desk.facts = Facts("Raspbian 12", "6.1.0", "aarch64", 4, 967 * 2**20, "b", "27.1", "overlay2", "2")
    desk.gaps = ("SD-card IOPS: the host's disk is no block device",)
    shown = page([Entry("desk", "io", "test", "feasible")], {"desk": desk})
    for text in ("Raspbian 12", "6.1.0 (aarch64)", "27.1, overlay2, cgroup v2", "4, 967 MiB", *desk.gaps):
        assert text in shown.texts


FINGERPRINT = Facts(
    "HypriotOS v1.12.3, Raspbian GNU/Linux 10 (buster)",
    "4.19.97-v7+",
    "armv7l",
    4,
    925 * 2**20,
    "f00d/12",
    "19.03.12",
    "overlay2",
    "1",
    containerd_version="1.2.13",
    identity=by_code("a02082"),
    revision_code="a02082",
    serial="00000000765fc593",
    gpu_bytes=64 * 2**20,
    swap_bytes=0,
    card=Card("035344534c31364780deadbeef012300", "SL16G", "0xdeadbeef", "0x03", "0x5344", "01/2016"),
    frequency=Frequency("ondemand", 600e6, 1200e6, 600e6),
)


def fingerprinted(catalog: Catalog, directory: Path) -> Board:
    target = Target("desk", "pi3b", "ssh", {"ansible_host": "192.0.2.13"})
    up = Board(
        target,
        catalog.model("pi3b"),
        SshDriver(context(target)),
        "run",
        0,
        directory,
        Steps(Progress(), "desk"),
    )
    up.facts = FINGERPRINT
    return up


def test_a_real_boards_fingerprint_is_shown(catalog: Catalog, tmp_path: Path) -> None:
    entries = [Entry("desk", "io", "test", "feasible")]
    shown = page(entries, {"desk": fingerprinted(catalog, tmp_path)})
    for text in (
        "Raspberry Pi 3 Model B, PCB 1.2, BCM2837, 1024 MB, Sony UK, revision code a02082",
        "HypriotOS v1.12.3, Raspbian GNU/Linux 10 (buster)",
        "19.03.12, containerd 1.2.13, overlay2, cgroup v1",
        "4, 925 MiB, GPU 64 MiB, no swap",
        "ondemand, 600–1200 MHz, 600 MHz when read",
        "SL16G",
    ):
        assert text in shown.texts


def test_serial_numbers_and_addresses_are_shown_on_request(catalog: Catalog, tmp_path: Path) -> None:
    entries = [Entry("desk", "io", "test", "error", "no SSH connection: connect to host 192.0.2.13 port 22")]
    boards = {"desk": fingerprinted(catalog, tmp_path)}
    private, open_ = page(entries, boards), page(entries, boards, identify=True)
    for text in ("00000000765fc593", "035344534c31364780deadbeef012300", "192.0.2.13"):
        assert not private.count(text)
        assert open_.count(text)
    assert {"Address", "Serial number"} <= set(open_.texts)
    assert f"no SSH connection: connect to host {MASK} port 22" in private.texts


def test_a_board_that_nobody_knows_is_said_to_be_taken_for_what_the_inventory_says(
    catalog: Catalog, tmp_path: Path
) -> None:
    desk = fingerprinted(catalog, tmp_path)
    desk.facts = dataclasses.replace(FINGERPRINT, identity=None, revision_code="beef")
    shown = page([Entry("desk", "io", "test", "feasible")], {"desk": desk})
    assert (
        "not recognised (revision code beef): Raspberry Pi 3 Model B according to the inventory"
        in shown.texts
    )


def test_a_page_without_anything_measured_has_no_table_of_numbers() -> None:
    shown = page([Entry("desk", "io", "test", "error", "no SSH connection")])
    assert "mc-all" not in shown.classes


def test_feasible_without_any_limit_is_uncoloured_and_says_so() -> None:
    m = Measurement("io.memory_time", [0.1], {"size": "4KiB"})
    shown = page([Entry("desk", "io", "test", "feasible", "", [m])])
    assert (shown.classes.count("mc-unjudged"), shown.classes.count("mc-feasible")) == (2, 0)
    assert shown.texts.count("feasible") == 2
    assert {"no limit judged", "no limit is set"} <= set(shown.texts)
    style = resources.files(report).joinpath("page.css").read_text(encoding="utf-8")
    assert ".mc-unjudged" in style


def test_a_run_that_could_not_be_compared_says_why_and_that_is_text() -> None:
    shown = Page(feasibility.refused(f"desk: another model: {HOSTILE}", Redactor()))
    assert "Gate: not compared" in shown.texts
    assert shown.count(HOSTILE)
    assert [tag for tag, _ in shown.elements] == ["section", "h3", "p"]
