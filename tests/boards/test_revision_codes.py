"""Identifying a board's hardware, for every row of the Raspberry Pi documentation's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microcloud import catalog as catalogs
from pytest_microcloud.boards import identity
from pytest_microcloud.boards.facts import Facts, parsed
from pytest_microcloud.catalog import BoardModel, Catalog
from pytest_microcloud.errors import BoardError, WrongBoard
from pytest_microcloud.inventory.target import Target

ROOT = Path(__file__).parent.parent.parent
GIB = 2**30
OLD = """
0002 | B | 1.0 | 256 MB | Egoman
0003 | B | 1.0 | 256 MB | Egoman
0004 | B | 2.0 | 256 MB | Sony UK
0005 | B | 2.0 | 256 MB | Qisda
0006 | B | 2.0 | 256 MB | Egoman
0007 | A | 2.0 | 256 MB | Egoman
0008 | A | 2.0 | 256 MB | Sony UK
0009 | A | 2.0 | 256 MB | Qisda
000d | B | 2.0 | 512 MB | Egoman
000e | B | 2.0 | 512 MB | Sony UK
000f | B | 2.0 | 512 MB | Egoman
0010 | B+ | 1.2 | 512 MB | Sony UK
0011 | CM1 | 1.0 | 512 MB | Sony UK
0012 | A+ | 1.1 | 256 MB | Sony UK
0013 | B+ | 1.2 | 512 MB | Embest
0014 | CM1 | 1.0 | 512 MB | Embest
0015 | A+ | 1.1 | 256 MB / 512 MB | Embest
"""
NEW = """
900021 | A+ | 1.1 | 512 MB | Sony UK
900032 | B+ | 1.2 | 512 MB | Sony UK
a01040 | 2B | 1.0 | 1 GB | Sony UK
a01041 | 2B | 1.1 | 1 GB | Sony UK
a21041 | 2B | 1.1 | 1 GB | Embest
a02042 | 2B (with BCM2837) | 1.2 | 1 GB | Sony UK
a22042 | 2B (with BCM2837) | 1.2 | 1 GB | Embest
900061 | CM1 | 1.1 | 512 MB | Sony UK
a02082 | 3B | 1.2 | 1 GB | Sony UK
a22082 | 3B | 1.2 | 1 GB | Embest
a32082 | 3B | 1.2 | 1 GB | Sony Japan
a52082 | 3B | 1.2 | 1 GB | Stadium
a22083 | 3B | 1.3 | 1 GB | Embest
900092 | Zero | 1.2 | 512 MB | Sony UK
920092 | Zero | 1.2 | 512 MB | Embest
900093 | Zero | 1.3 | 512 MB | Sony UK
920093 | Zero | 1.3 | 512 MB | Embest
a020a0 | CM3 | 1.0 | 1 GB | Sony UK
a220a0 | CM3 | 1.0 | 1 GB | Embest
9000c1 | Zero W | 1.1 | 512 MB | Sony UK
a020d3 | 3B+ | 1.3 | 1 GB | Sony UK
a020d4 | 3B+ | 1.4 | 1 GB | Sony UK
9020e0 | 3A+ | 1.0 | 512 MB | Sony UK
9020e1 | 3A+ | 1.1 | 512 MB | Sony UK
a02100 | CM3+ | 1.0 | 1 GB | Sony UK
a03111 | 4B | 1.1 | 1 GB | Sony UK
b03111 | 4B | 1.1 | 2 GB | Sony UK
c03111 | 4B | 1.1 | 4 GB | Sony UK
b03112 | 4B | 1.2 | 2 GB | Sony UK
c03112 | 4B | 1.2 | 4 GB | Sony UK
b03114 | 4B | 1.4 | 2 GB | Sony UK
c03114 | 4B | 1.4 | 4 GB | Sony UK
d03114 | 4B | 1.4 | 8 GB | Sony UK
b03115 | 4B | 1.5 | 2 GB | Sony UK
c03115 | 4B | 1.5 | 4 GB | Sony UK
d03115 | 4B | 1.5 | 8 GB | Sony UK
902120 | Zero 2 W | 1.0 | 512 MB | Sony UK
c03130 | 400 | 1.0 | 4 GB | Sony UK
a03140 | CM4 | 1.0 | 1 GB | Sony UK
b03140 | CM4 | 1.0 | 2 GB | Sony UK
c03140 | CM4 | 1.0 | 4 GB | Sony UK
d03140 | CM4 | 1.0 | 8 GB | Sony UK
b04170 | 5 | 1.0 | 2 GB | Sony UK
c04170 | 5 | 1.0 | 4 GB | Sony UK
d04170 | 5 | 1.0 | 8 GB | Sony UK
a04171 | 5 | 1.1 | 1 GB | Sony UK
b04171 | 5 | 1.1 | 2 GB | Sony UK
c04171 | 5 | 1.1 | 4 GB | Sony UK
d04171 | 5 | 1.1 | 8 GB | Sony UK
e04171 | 5 | 1.1 | 16 GB | Sony UK
b04180 | CM5 | 1.0 | 2 GB | Sony UK
c04180 | CM5 | 1.0 | 4 GB | Sony UK
d04180 | CM5 | 1.0 | 8 GB | Sony UK
e04180 | CM5 | 1.0 | 16 GB | Sony UK
d04190 | 500 | 1.0 | 8 GB | Sony UK
e04190 | 500+ | 1.0 | 16 GB | Sony UK
b041a0 | CM5 Lite | 1.0 | 2 GB | Sony UK
c041a0 | CM5 Lite | 1.0 | 4 GB | Sony UK
d041a0 | CM5 Lite | 1.0 | 8 GB | Sony UK
e041a0 | CM5 Lite | 1.0 | 16 GB | Sony UK
"""
TREE = """
500 | 500/500+
5-compute-module | CM5
5-model-b | 5
400 | 400
4s-compute-module | CM4S
4-compute-module | CM4
4-model-b | 4B
model-zero-2-w | Zero 2 W
3-plus-compute-module | CM3+
3-compute-module | CM3
3-model-a-plus | 3A+
3-model-b-plus | 3B+
3-model-b | 3B
2-model-b | 2B
model-zero-w | Zero W
model-zero | Zero
compute-module | CM1
model-a-plus | A+
model-b-plus | B+
model-b-rev2 | B
model-a | A
model-b | B
"""
MODELS = {
    "pi1b_256": ("0002", "0003", "0004", "0005", "0006"),
    "pi1b": ("000d", "000e", "000f"),
    "pi1bplus": ("0010", "0013", "900032"),
    "pi2b": ("a01040", "a01041", "a21041", "a02042", "a22042"),
    "pi3b": ("a02082", "a22082", "a32082", "a52082", "a22083"),
    "pi3bplus": ("a020d3", "a020d4"),
    "zero2w": ("902120",),
    "pi4b": ("a03111", "b03111", "c03112", "d03115"),
    "pi5": ("a04171", "b04170", "c04171", "d04170", "e04171"),
    None: ("0007", "0011", "9000c1", "9020e0", "c03130", "a03140", "d04190", "e041a0"),
}
SIZES = {"256 MB": GIB // 4, "512 MB": GIB // 2} | {f"{n} GB": n * GIB for n in (1, 2, 4, 8, 16)}


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in row.split("|")) for row in table.strip().splitlines()]


def facts(code: str | None = None, compatible: str = "", **reported: str) -> Facts:
    """Return the facts of a board that reports these values."""
    own = {"cpuinfo.Revision": code} if code else {}
    return parsed(own | {"tree.compatible": compatible} | reported, 900 * 2**20, {}, {})


def model_of(code: str) -> str | None:
    board = facts(code).identity
    assert board is not None
    return board.model


@pytest.mark.parametrize(("code", "model", "revision", "ram", "manufacturer"), rows(OLD) + rows(NEW))
def test_each_row_of_the_documentation_is_recognised(
    code: str, model: str, revision: str, ram: str, manufacturer: str
) -> None:
    board = facts(code).identity
    assert board is not None
    expected = {"500": "500/500+", "500+": "500/500+"}.get(model, model.partition(" (with")[0])
    assert (board.kind, board.pcb, board.manufacturer) == (expected, revision, manufacturer)
    assert board.ram_bytes == SIZES.get(ram)
    assert board.name.startswith("Raspberry Pi ")


def test_the_processor_of_a_code_distinguishes_the_two_kinds_of_2b() -> None:
    processors = {
        code: board.soc for code in ("000e", "a01041", "a02042", "c03111") if (board := facts(code).identity)
    }
    assert processors == {"000e": "BCM2835", "a01041": "BCM2836", "a02042": "BCM2837", "c03111": "BCM2711"}


@pytest.mark.parametrize(
    ("model", "code"), [(model, code) for model, codes in MODELS.items() for code in codes]
)
def test_a_code_stands_for_the_catalogs_model_of_its_type_and_memory(model: str | None, code: str) -> None:
    assert model_of(code) == model


@pytest.mark.parametrize("code", ["2a02082", "82a02082", "f2a02082", "A02082", "00a02082", "a02089"])
def test_warranty_overvoltage_and_later_revisions_do_not_hide_a_3b(code: str) -> None:
    assert model_of(code) == "pi3b"


@pytest.mark.parametrize(
    ("code", "model"), [("1000002", "pi1b_256"), ("100000e", "pi1b"), ("1000010", "pi1bplus")]
)
def test_an_old_code_may_have_the_prefix_of_a_voided_warranty(code: str, model: str) -> None:
    assert model_of(code) == model


@pytest.mark.parametrize(
    "code", ["0000", "0001", "000a", "0016", "beef", "8007f0", "xyz", "a02082 a02082", "-1"]
)
def test_an_unknown_code_yields_no_identity_and_no_error(code: str) -> None:
    assert facts(code).identity is None


def test_the_code_of_another_vendors_board_is_not_read_as_a_raspberry_pis() -> None:
    assert facts("000d", **{"cpuinfo.Hardware": "ODROID-C1"}).identity is None
    assert facts("000d", **{"tree.model": "Hardkernel ODROID-C1"}).identity is None
    assert facts("000d", **{"cpuinfo.Hardware": "BCM2708"}).identity is not None
    assert facts("000d", **{"tree.model": "Raspberry Pi Model B Rev 2"}).identity is not None


def test_hardware_bcm2835_alone_does_not_identify_a_board() -> None:
    assert facts(**{"cpuinfo.Hardware": "BCM2835"}).identity is None


@pytest.mark.parametrize(("compatible", "kind"), rows(TREE))
def test_each_row_of_the_documentations_device_trees_is_recognised(compatible: str, kind: str) -> None:
    board = facts(compatible=f"raspberrypi,{compatible} brcm,bcm2837 ").identity
    assert board is not None
    assert (board.kind, board.soc, board.evidence) == (kind, "BCM2837", "device tree")


@pytest.mark.parametrize(
    ("compatible", "kind"),
    [
        ("2-model-b-rev2", "2B"),
        ("3-compute-module", "CM3"),
        ("3-compute-module-lite", "CM3"),
        ("4-compute-module-s", "CM4S"),
    ],
)
def test_variants_in_device_trees_are_recognised(compatible: str, kind: str) -> None:
    board = facts(compatible=f"raspberrypi,{compatible} brcm,bcm2837 ").identity
    assert board is not None
    assert board.kind == kind


@pytest.mark.parametrize("code", ["0", "0000", "00000000"])
def test_a_revision_of_zeros_is_not_a_code(code: str) -> None:
    assert facts(code).revision_code is None
    assert facts(code, **{"tree.revision": "00a02082"}).revision_code == "a02082"


def test_without_a_code_the_device_tree_identifies_model_and_pcb() -> None:
    board = facts(
        None, "raspberrypi,3-model-b brcm,bcm2837 ", **{"tree.model": "Raspberry Pi 3 Model B Rev 1.2 "}
    )
    assert board.identity is not None
    assert (board.identity.model, board.identity.pcb, board.identity.ram_bytes) == ("pi3b", "1.2", None)
    assert board.tree_model == "Raspberry Pi 3 Model B Rev 1.2"


def test_the_revision_of_the_device_tree_is_used_like_that_of_cpuinfo() -> None:
    assert facts(**{"tree.revision": "00a02082"}).revision_code == "a02082"
    assert facts(**{"tree.revision": "0000000e"}).revision_code == "000e"


def test_a_board_of_another_vendor_is_identified_by_its_device_tree() -> None:
    board = facts(None, "pine64,pine64-plus allwinner,sun50i-a64", **{"tree.model": "Pine64+"}).identity
    assert board is not None
    assert (board.model, board.name) == ("pine64", "Pine64+")


@pytest.mark.parametrize(("mebibytes", "model"), [(182, "pi1b_256"), (429, "pi1b"), (4000, "pi1b")])
def test_a_model_b_without_a_code_is_identified_by_its_memory(mebibytes: int, model: str) -> None:
    board = parsed({"tree.compatible": "raspberrypi,model-b-rev2"}, mebibytes * 2**20, {}, {}).identity
    assert board is not None
    assert board.model == model


def check(model: BoardModel | str, board: Facts, **variables: str) -> None:
    model = model if isinstance(model, BoardModel) else catalogs.shipped().model(model)
    identity.check(Target("desk", model.id, "ssh", variables), model, board.identity)


@pytest.mark.parametrize(
    ("model", "code"), [(model, code) for model, codes in MODELS.items() if model for code in codes]
)
def test_a_board_that_matches_the_inventory_passes(model: str, code: str) -> None:
    check(model, facts(code))


@pytest.mark.parametrize(
    ("reported", "code", "is_a"),
    [
        ("pi3b", "a01041", "Raspberry Pi 2 Model B, 1024 MB (pi2b, by its revision code a01041)"),
        ("pi1b", "0002", "Raspberry Pi Model B, 256 MB (pi1b_256, by its revision code 0002)"),
        ("pi1b_256", "000e", "Raspberry Pi Model B, 512 MB (pi1b, by its revision code 000e)"),
        ("pi1bplus", "000e", "Raspberry Pi Model B, 512 MB (pi1b, "),
        ("pi1b", "900032", "Raspberry Pi Model B+, 512 MB (pi1bplus, "),
        ("pi3b", "a020d3", "Raspberry Pi 3 Model B+, 1024 MB (pi3bplus, "),
        ("pine64", "a02082", "Raspberry Pi 3 Model B, 1024 MB (pi3b, "),
        ("pi3b", "9000c1", "Raspberry Pi Zero W, 512 MB (Zero W, "),
    ],
)
def test_another_board_is_named_beside_what_the_inventory_says(reported: str, code: str, is_a: str) -> None:
    with pytest.raises(WrongBoard) as raised:
        check(reported, facts(code))
    assert isinstance(raised.value, BoardError)
    name = catalogs.shipped().model(reported).name
    assert f"desk: the inventory says {name} ({reported}), but the board is a {is_a}" in str(raised.value)


def test_a_wrong_boards_error_states_the_right_inventory_entry() -> None:
    with pytest.raises(WrongBoard, match=r"put it into the group \[pi2b\]$"):
        check("pi3b", facts("a01041"))
    with pytest.raises(WrongBoard, match=r"set microcloud_model=pi2b$"):
        check("pi3b", facts("a01041"), microcloud_model="pi3b")
    with pytest.raises(WrongBoard, match=r"describe it in a TOML file named by microcloud_catalog$"):
        check("pi3b", facts("9000c1"))


def test_a_board_identified_by_device_tree_alone_is_checked_but_its_memory_is_not() -> None:
    tree = facts(compatible="raspberrypi,model-b")
    for model in ("pi1b", "pi1b_256"):
        check(model, tree)
    with pytest.raises(WrongBoard, match="by its device tree"):
        check("pi3b", tree)


@pytest.mark.parametrize("model", ["pi3b", "pi1b", "pine64", "t2_small"])
def test_an_unrecognised_board_is_what_the_inventory_states(model: str) -> None:
    check(model, facts())
    check(model, facts("beef"))


def own(tmp_path: Path, text: str) -> Catalog:
    (tmp_path / "own.toml").write_text(text)
    return catalogs.load([tmp_path / "own.toml"])


def test_a_custom_model_accepts_only_its_parents_hardware(tmp_path: Path) -> None:
    mine = own(tmp_path, '[boards.kiosk]\nname = "Kiosk"\nlike = "pi3b"\n').model("kiosk")
    check(mine, facts("a22083"))
    check(mine, facts())
    with pytest.raises(WrongBoard, match=r"says Kiosk \(kiosk\), but the board is a Raspberry Pi 2 Model B"):
        check(mine, facts("a01041"))


def test_a_custom_model_with_more_memory_accepts_any_memory_of_its_parent(tmp_path: Path) -> None:
    text = '[boards.pi4b_4gb]\nname = "Pi 4, 4 GB"\nlike = "pi4b"\n'
    mine = own(tmp_path, f'{text}ram_bytes = {{ value = {4 * GIB}, source = "own" }}\n').model("pi4b_4gb")
    check(mine, facts("c03111"))
    check("pi4b", facts("c03111"))


def test_a_custom_model_without_codes_accepts_any_hardware(tmp_path: Path) -> None:
    figures = "cores = { value = 4, source = 'own' }\nmem_total_bytes = { value = 1, source = 'own' }\n"
    speed = "sevenzip_mips_all_cores = { value = 1, source = 'own' }\n"
    mine = own(tmp_path, f"[boards.rock]\nname = 'Rock'\n{figures}{speed}").model("rock")
    check(mine, facts("a01041"))


def test_a_custom_model_can_have_revision_codes_as_documented(tmp_path: Path) -> None:
    shown = (ROOT / "docs" / "real-boards.md").read_text().partition("```toml\n")[2].partition("```")[0]
    zero = own(tmp_path, shown).model("zerow")
    check(zero, facts("9000c1"))
    with pytest.raises(WrongBoard):
        check(zero, facts("000e"))


def test_a_custom_model_can_have_a_device_tree_entry(tmp_path: Path) -> None:
    tree = 'compatible = { value = ["friendlyarm,nanopi-neo2"], source = "own" }\n'
    nano = own(tmp_path, f'[boards.nano]\nname = "NanoPi"\nlike = "pine64"\n{tree}').model("nano")
    check(nano, facts(compatible="friendlyarm,nanopi-neo2 allwinner,sun50i-h5"))
    with pytest.raises(WrongBoard):
        check(nano, facts(compatible="pine64,pine64 allwinner,sun50i-a64"))


def test_the_codes_of_every_model_distinguish_it_from_all_others() -> None:
    for model in catalogs.shipped().models.values():
        for code in model.revision_codes:
            assert model_of(code) == model.id
