"""The shipped board models: the paper's Table 1, the figures for emulation, and all sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from pytest_microcloud.catalog import BoardModel, load
from pytest_microcloud.catalog.loader import SHIPPED

MODELS = sorted(file.stem for file in (SHIPPED / "boards").glob("*.toml"))
PAPER = ("pi1b_256", "pi1b", "pi1bplus", "pi2b", "pi3b")
CLOUDS = ("ec2_dublin", "ec2_seoul", "ec2_singapore", "ec2_tokyo")
FIGURES = [f.name for f in dataclasses.fields(BoardModel) if f.name not in ("id", "name", "kind", "sources")]


@pytest.fixture(scope="module")
def models() -> Mapping[str, BoardModel]:
    return load().models


def test_the_boards_and_the_clouds_of_the_paper_and_later_boards_are_there(
    models: Mapping[str, BoardModel],
) -> None:
    later = ("pi3bplus", "zero2w", "pi4b", "pi5", "pine64")
    assert set(models) == {*PAPER, *later, "t2_small", *CLOUDS}


@pytest.mark.parametrize(
    ("name", "pcb", "cores", "clock_mhz", "l1_kb", "l2_kb", "memory_mb", "power_ma"),
    [
        ("pi1b_256", "1.0", 1, 700, 16, 128, 256, 300),
        ("pi1b", "2.0", 1, 700, 16, 128, 512, 700),
        ("pi1bplus", "1.2", 1, 700, 16, 128, 512, 600),
        ("pi2b", "1.1", 4, 900, 32, 512, 1024, 800),
        ("pi3b", "1.2", 4, 1200, 32, 512, 1024, 800),
    ],
)
def test_each_row_of_the_papers_table_1_is_in_the_catalog(
    models: Mapping[str, BoardModel],
    name: str,
    pcb: str,
    cores: int,
    clock_mhz: int,
    l1_kb: int,
    l2_kb: int,
    memory_mb: int,
    power_ma: int,
) -> None:
    model = models[name]
    assert (model.pcb_version, model.cores, model.clock_hz) == (pcb, cores, clock_mhz * 1e6)
    assert (model.l1_cache_bytes, model.l2_cache_bytes) == (l1_kb * 1024, l2_kb * 1024)
    assert model.ram_bytes == memory_mb * 2**20
    assert model.supply_current_a == pytest.approx(power_ma / 1000)


@pytest.mark.parametrize("name", PAPER)
def test_a_row_of_table_1_names_table_1_as_its_source(models: Mapping[str, BoardModel], name: str) -> None:
    table_1 = ("pcb_version", "cores", "clock_hz", "l1_cache_bytes", "l2_cache_bytes", "ram_bytes")
    for figure in (*table_1, "supply_current_a"):
        assert models[name].sources[figure] == "the paper, Table 1"


@pytest.mark.parametrize("name", MODELS)
def test_every_figure_has_a_source_and_every_source_a_figure(
    models: Mapping[str, BoardModel], name: str
) -> None:
    model = models[name]
    given = {figure for figure in FIGURES if getattr(model, figure) not in (None, ())}
    assert set(model.sources) == given
    assert all(source.strip() for source in model.sources.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_what_emulation_needs(models: Mapping[str, BoardModel], name: str) -> None:
    model = models[name]
    assert model.cores >= 1
    assert model.ram_bytes is not None
    assert 128 * 2**20 < model.mem_total_bytes < model.ram_bytes
    assert model.sevenzip_mips_one_thread is not None
    assert (
        model.sevenzip_mips_one_thread
        <= model.sevenzip_mips_all_cores
        <= model.sevenzip_mips_one_thread * model.cores
    )


@pytest.mark.parametrize("name", PAPER)
def test_every_board_of_the_paper_has_a_link_and_a_disk_to_emulate(
    models: Mapping[str, BoardModel], name: str
) -> None:
    model = models[name]
    assert model.round_trip_s == pytest.approx(0.020)
    assert model.ethernet_bits_per_s is not None
    assert 40e6 <= model.ethernet_bits_per_s <= 100e6
    assert model.disk_read_bytes_per_s is not None
    assert 15e6 <= model.disk_read_bytes_per_s <= 18e6
    assert model.disk_write_bytes_per_s is not None
    assert 9e6 <= model.disk_write_bytes_per_s <= 16e6
    assert model.disk_read_iops is not None
    assert model.disk_write_iops is not None
    assert 55 <= model.disk_write_iops <= 150 < model.disk_read_iops


def test_the_boards_of_the_paper_share_one_sd_card(models: Mapping[str, BoardModel]) -> None:
    disk = ("disk_read_bytes_per_s", "disk_write_bytes_per_s", "disk_read_iops", "disk_write_iops")
    cards = {tuple(getattr(models[name], figure) for figure in disk) for name in PAPER}
    assert len(cards) == 1


def test_each_generation_of_the_paper_is_faster_than_the_one_before(
    models: Mapping[str, BoardModel],
) -> None:
    speeds = [models[name].sevenzip_mips_all_cores for name in ("pi1b", "pi2b", "pi3b", "pi4b", "pi5")]
    assert speeds == sorted(set(speeds))


def test_the_first_boards_share_the_figures_of_their_soc(models: Mapping[str, BoardModel]) -> None:
    for name in ("pi1b_256", "pi1bplus"):
        for figure in ("soc", "core", "isa", "sevenzip_mips_all_cores", "memcpy_bytes_per_s"):
            assert getattr(models[name], figure) == getattr(models["pi1b"], figure)
            assert models[name].sources[figure] == models["pi1b"].sources[figure]


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("pi1b_256", "mem_total_bytes"),
        ("pi2b", "boot_s"),
        ("pi2b", "boot_with_container_s"),
        ("pi3b", "boot_s"),
        ("pi3b", "boot_with_container_s"),
        ("t2_small", "mem_total_bytes"),
        ("t2_small", "sevenzip_mips_all_cores"),
        ("t2_small", "boot_s"),
        ("ec2_singapore", "round_trip_s"),
    ],
)
def test_the_source_of_an_estimated_figure_states_that_it_is_an_estimate(
    models: Mapping[str, BoardModel], name: str, figure: str
) -> None:
    assert models[name].sources[figure].startswith("estimate: ")


@pytest.mark.parametrize("name", ["pi2b", "pi3b"])
def test_boot_times_are_those_that_the_papers_text_implies(
    models: Mapping[str, BoardModel], name: str
) -> None:
    board, vm = models[name], models["t2_small"]
    assert board.boot_s is not None
    assert board.boot_with_container_s is not None
    assert vm.boot_s is not None
    assert vm.boot_s - board.boot_s > 10
    assert (vm.boot_s - board.boot_s) / vm.boot_s == pytest.approx(0.40, abs=0.02)
    assert vm.boot_s - board.boot_with_container_s == pytest.approx(8)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_region_is_the_vm_at_a_distance_of_at_least_five_times_the_boards(
    models: Mapping[str, BoardModel], name: str
) -> None:
    region, vm = models[name], models["t2_small"]
    assert region.kind == vm.kind == "vm"
    assert vm.round_trip_s is None
    assert region.round_trip_s is not None
    assert region.round_trip_s >= 5 * 0.020
    same = ("cores", "mem_total_bytes", "sevenzip_mips_all_cores", "boot_s")
    assert [getattr(region, figure) for figure in same] == [getattr(vm, figure) for figure in same]


def test_everything_but_the_cloud_is_a_board(models: Mapping[str, BoardModel]) -> None:
    assert {name for name, model in models.items() if model.kind != "board"} == {"t2_small", *CLOUDS}


def test_no_two_models_share_a_revision_code(models: Mapping[str, BoardModel]) -> None:
    codes = [code for model in models.values() for code in model.revision_codes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("name", "board_type"),
    [
        ("pi1bplus", 0x03),
        ("pi2b", 0x04),
        ("pi3b", 0x08),
        ("pi3bplus", 0x0D),
        ("pi4b", 0x11),
        ("zero2w", 0x12),
        ("pi5", 0x17),
    ],
)
def test_new_revision_codes_contain_the_models_type_and_memory(
    models: Mapping[str, BoardModel], name: str, board_type: int
) -> None:
    codes = [int(code, 16) for code in models[name].revision_codes]
    new = [code for code in codes if code >> 23 & 1]
    assert new
    assert {code >> 4 & 0xFF for code in new} == {board_type}
    assert models[name].ram_bytes in {256 * 2**20 << (code >> 20 & 7) for code in new}
