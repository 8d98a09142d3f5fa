"""The paper's claims: each holds, does not hold, or is not measured and says what is missing."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from pytest_microcloud.boards.drivers import container
from pytest_microcloud.verdict import claims
from pytest_microcloud.verdict.results import Results
from tests.support.paper_world import BOARDS, BREAKS, REGIONS, SINGLE, Shelf, World, as_in_the_paper, at


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


PAPERS = ", ".join(BOARDS)
MISSING = {
    "later_generations_serve_no_slower": "serving.page_time of pi1b, pi2b, pi3b",
    "later_generations_withstand_more_clients": "serving.capacity of pi1b, pi2b, pi3b",
    "docker_costs_something": f"serving.page_time of {PAPERS}, native and in Docker",
    "docker_fails_first_on_the_oldest": "serving.capacity (docker) of pi1b_256",
    "boards_answer_ten_times_sooner_than_the_cloud": "serving.page_time (50 native) of pi1b, pi2b, pi3b",
    "containers_in_the_papers_order": "hosting.containers (httpd), hosting.containers (zookeeper) of "
    f"{PAPERS}",
    "pi3b_hosts_twice_the_zookeepers": "hosting.containers (zookeeper) of pi1b",
    "memory_is_the_bottleneck_and_not_disk": f"hosting.containers (httpd) of {PAPERS}",
    "later_generations_do_io_no_slower": "io.disk_read_time, io.disk_write_time, io.memory_time of "
    "pi1b, pi2b, pi3b",
    "writes_cost_boards_more_than_the_cloud": f"io.disk_write_time of t2_small, {PAPERS}",
    "boards_boot_before_the_vm": f"startup.ready_time of {PAPERS}",
    "later_boards_boot_ten_seconds_before_the_vm": "startup.ready_time of pi2b, pi3b",
    "containers_run_before_the_vm_boots": "startup.container_time of pi2b, pi3b",
}


def test_the_tests_here_know_all_claims() -> None:
    assert list(BREAKS) == list(MISSING) == claims.names()


@pytest.mark.parametrize("claim", claims.names())
def test_on_boards_as_the_papers_it_holds(shelf: Shelf, claim: str) -> None:
    found = shelf.add(as_in_the_paper()).check(claim)
    assert (found.verdict, found.missing, found.emulated) == ("holds", (), ())
    assert found.numbers


@pytest.mark.parametrize("claim", claims.names())
def test_on_others_it_does_not_hold_and_gives_the_numbers(shelf: Shelf, claim: str) -> None:
    world, (change, numbers) = as_in_the_paper(), BREAKS[claim]
    change(world)
    found = shelf.add(world).check(claim)
    assert found.verdict == "does not hold"
    assert numbers in found.numbers


@pytest.mark.parametrize("claim", claims.names())
def test_without_runs_it_is_not_measured_and_names_what_is_missing(shelf: Shelf, claim: str) -> None:
    found = shelf.check(claim)
    assert (found.verdict, found.numbers) == ("not measured", ())
    assert found.missing == (MISSING[claim],)
    assert not found.so_far


@pytest.mark.parametrize("claim", claims.names())
def test_emulated_boards_are_named(shelf: Shelf, claim: str) -> None:
    found = shelf.add(as_in_the_paper(), kernel="6.12").check(claim)
    assert found.verdict == "holds"
    assert found.emulated
    assert set(found.emulated) <= {*BOARDS, *REGIONS, "t2_small"}


USER_SPACE = "firmware and kernel start: start-up times cover user space only"
NO_DELAY = "round trip: this kernel has neither sch_netem nor netfilter queues"
NO_CARD = "SD card: the engine's volumes are not on a block device of this host"
NO_NETWORK_CPU = (
    "CPU of the network stack: bridging, NAT and proxying of packets use no CPU time of the board"
)
NEEDS = {
    "docker_costs_something": (
        NO_NETWORK_CPU,
        f"serving.page_time (250 docker) of {PAPERS} measured with CPU of the network stack "
        "(emulated: bridging, NAT and proxying of packets use no CPU time of the board)",
    ),
    "boards_answer_ten_times_sooner_than_the_cloud": (
        NO_DELAY,
        "serving.page_time (50 native) of pi1b, pi2b, pi3b measured with round trip "
        "(emulated: this kernel has neither sch_netem nor netfilter queues)",
    ),
    "writes_cost_boards_more_than_the_cloud": (
        NO_CARD,
        f"io.disk_write_time (1MiB) of {PAPERS} measured with SD card "
        "(emulated: the engine's volumes are not on a block device of this host)",
    ),
    "boards_boot_before_the_vm": (
        USER_SPACE,
        f"startup.ready_time of {PAPERS} measured with firmware and kernel start "
        "(emulated: start-up times cover user space only)",
    ),
    "later_boards_boot_ten_seconds_before_the_vm": (
        USER_SPACE,
        "startup.ready_time of pi2b, pi3b measured with firmware and kernel start "
        "(emulated: start-up times cover user space only)",
    ),
    "containers_run_before_the_vm_boots": (
        USER_SPACE,
        "startup.container_time of pi2b, pi3b measured with firmware and kernel start "
        "(emulated: start-up times cover user space only)",
    ),
}


@pytest.mark.parametrize("gap", [USER_SPACE, NO_DELAY, NO_CARD, NO_NETWORK_CPU])
def test_the_gaps_here_are_those_that_emulated_boards_report(gap: str) -> None:
    driver = resources.files(container)
    sources = (driver / "driver.py", driver / "disk.py", driver / "network" / "network-init")
    assert any(gap in source.read_text(encoding="utf-8") for source in sources)


@pytest.mark.parametrize("claim", NEEDS)
def test_a_claim_that_needs_what_is_not_emulated_is_not_judged_and_says_why(shelf: Shelf, claim: str) -> None:
    gap, missing = NEEDS[claim]
    found = shelf.add(as_in_the_paper(), not_emulated=["instruction set", gap]).check(claim)
    assert (found.verdict, found.missing, found.emulated) == ("not measured", (missing,), ())


@pytest.mark.parametrize("claim", [name for name in claims.names() if name not in NEEDS])
def test_a_claim_that_does_not_need_it_is_judged_all_the_same(shelf: Shelf, claim: str) -> None:
    gaps = [USER_SPACE, NO_DELAY, NO_CARD, NO_NETWORK_CPU]
    assert shelf.add(as_in_the_paper(), not_emulated=gaps).check(claim).verdict == "holds"


@pytest.mark.parametrize("claim", NEEDS)
def test_a_real_board_has_all_that_a_claim_needs(shelf: Shelf, claim: str) -> None:
    shelf.add(as_in_the_paper()).add(as_in_the_paper(), not_emulated=[NEEDS[claim][0]])
    assert shelf.check(claim).verdict == "holds"


def test_a_real_board_beside_a_vm_without_what_is_needed_is_not_judged(shelf: Shelf) -> None:
    world = as_in_the_paper()
    boards = {key: value for key, value in world.items() if key[0] in BOARDS}
    clouds = {key: value for key, value in world.items() if key[0] not in BOARDS}
    found = shelf.add(boards).add(clouds, not_emulated=[USER_SPACE]).check("boards_boot_before_the_vm")
    assert found.verdict == "not measured"
    assert found.missing[0].startswith("startup.ready_time of t2_small measured with firmware")


def test_the_gaps_that_count_are_those_of_the_run_that_the_figure_is_of(shelf: Shelf) -> None:
    ready = at("pi3b", "startup.ready_time")
    io = at("pi3b", "io.memory_time", size="1MiB")
    shelf.add({ready: 15.0}, not_emulated=[USER_SPACE]).add({io: 0.1}, not_emulated=[])
    (missing,) = shelf.check("later_boards_boot_ten_seconds_before_the_vm").missing[1:]
    assert missing.startswith("startup.ready_time of pi3b measured with firmware and kernel start")


def test_a_gap_without_an_explanation_is_named(shelf: Shelf) -> None:
    shelf.add({at("pi3b", "startup.ready_time"): 15.0}, not_emulated=["firmware and kernel start"])
    missing = shelf.check("boards_boot_before_the_vm").missing
    assert (
        "startup.ready_time of pi3b measured with firmware and kernel start (emulated: without it)" in missing
    )


def test_a_claim_on_some_boards_holds_and_names_the_missing_ones(shelf: Shelf) -> None:
    world = {key: value for key, value in as_in_the_paper().items() if key[0] in ("pi3b", "ec2_dublin")}
    found = shelf.add(world).check("boards_answer_ten_times_sooner_than_the_cloud")
    assert (found.verdict, found.numbers) == ("holds", ("pi3b 10 ms, ec2_dublin 900 ms (50 native)",))
    assert found.so_far
    assert found.missing == (
        "serving.page_time (50 native) of pi1b, pi2b, ec2_seoul, ec2_singapore, ec2_tokyo",
    )


@pytest.mark.parametrize("claim", [name for name in claims.names() if not name.startswith(SINGLE)])
def test_a_board_of_the_paper_that_no_run_has_is_missing_though_the_claim_holds(
    shelf: Shelf, claim: str
) -> None:
    world = {key: value for key, value in as_in_the_paper().items() if key[0] != "pi2b"}
    found = shelf.add(world).check(claim)
    assert (found.verdict, found.so_far) == ("holds", True)
    assert len(found.missing) == 1, "all that is missing of one board is one text"
    assert "pi2b" in found.missing[0]


def test_what_is_measured_of_everything_does_not_only_hold_so_far(shelf: Shelf) -> None:
    assert not shelf.add(as_in_the_paper()).check("boards_boot_before_the_vm").so_far


def test_a_claim_that_does_not_hold_names_what_is_missing_and_does_not_hold_so_far(shelf: Shelf) -> None:
    world = {key: value for key, value in as_in_the_paper().items() if key[0] in ("pi3b", "t2_small")}
    world[at("pi3b", "startup.ready_time")] = 60.0
    found = shelf.add(world).check("boards_boot_before_the_vm")
    assert (found.verdict, found.so_far) == ("does not hold", False)
    assert found.missing == ("startup.ready_time of pi1b_256, pi1b, pi1bplus, pi2b",)


def test_a_generation_between_two_others_that_lacks_a_metric_is_missing_and_skipped(shelf: Shelf) -> None:
    world = as_in_the_paper()
    del world[at("pi2b", "serving.capacity", setting="native")]
    del world[at("pi2b", "serving.capacity", setting="docker")]
    found = shelf.add(world).check("later_generations_withstand_more_clients")
    assert found.missing == ("serving.capacity of pi2b",)
    assert "pi1b 250 clients, pi3b 250 clients (native)" in found.numbers


def test_an_altered_board_does_not_stand_for_its_model(shelf: Shelf) -> None:
    slower = {at("pi3b", "startup.ready_time"): 60.0, at("pi4b", "startup.ready_time"): 1.0}
    shelf.add(as_in_the_paper(), not_emulated=[]).add(slower, made_of={"altered": ["0.5 of the model's CPU"]})
    assert shelf.check("boards_boot_before_the_vm").verdict == "holds"
    assert not shelf.check("later_generations_serve_no_slower").missing, "nor is pi4b measured"


def test_a_real_board_is_preferred_to_a_newer_emulated_one(shelf: Shelf) -> None:
    too_slow = as_in_the_paper()
    too_slow[at("pi3b", "startup.ready_time")] = 60.0
    found = shelf.add(as_in_the_paper()).add(too_slow, kernel="6.12").check("boards_boot_before_the_vm")
    assert (found.verdict, found.emulated) == ("holds", ())


def test_a_real_board_is_compared_with_an_emulated_vm_which_is_named(shelf: Shelf) -> None:
    world = as_in_the_paper()
    boards = {key: value for key, value in world.items() if key[0] in BOARDS}
    clouds = {key: value for key, value in world.items() if key[0] not in BOARDS}
    found = shelf.add(boards).add(clouds, kernel="6.12").check("boards_boot_before_the_vm")
    assert (found.verdict, found.emulated) == ("holds", ("t2_small",))


def test_the_newest_run_that_can_be_trusted_counts(shelf: Shelf) -> None:
    world, mended = as_in_the_paper(), {at("pi3b", "startup.ready_time"): 15.0}
    world[at("pi3b", "startup.ready_time")] = 60.0
    assert shelf.add(world).check("boards_boot_before_the_vm").verdict == "does not hold"
    assert shelf.add(mended).check("boards_boot_before_the_vm").verdict == "holds"


@pytest.mark.parametrize("factor", [1.04, 1.006, 1.0, 0.994])
def test_a_cost_within_the_noise_is_no_cost(shelf: Shelf, factor: float) -> None:
    world = as_in_the_paper()
    for clients in (50, 250):
        native = world[at("pi3b", "serving.page_time", setting="native", clients=clients)]
        world[at("pi3b", "serving.page_time", setting="docker", clients=clients)] = factor * native
    found = shelf.add(world).check("docker_costs_something")
    assert found.verdict == "does not hold"
    assert found.numbers[-1].startswith(f"pi3b {factor - 1:+.1%} (")
    assert found.numbers[-1].endswith(", no difference that matters")


def test_the_cost_of_docker_is_by_the_mean_per_request_and_not_by_a_median_over_the_ramp_up(
    shelf: Shelf,
) -> None:
    """300 requests from 250 clients on a link-bound board: the medians say -20 %, ab's means say 2 %."""
    world: World = {}
    for setting, median_s, rate in (("native", 2.38, 111.4), ("docker", 1.90, 108.8)):
        world[at("pi3b", "serving.page_time", setting=setting, clients=250)] = median_s
        world[at("pi3b", "serving.throughput", setting=setting, clients=250)] = rate
    found = shelf.add(world).check("docker_costs_something")
    assert found.verdict == "does not hold"
    assert found.numbers == (
        "pi3b +2.4% (+2.4% to +2.4% by number of clients), throughput -2.3%, no difference that matters",
    )


def test_a_page_time_is_that_of_its_own_run_alone(shelf: Shelf) -> None:
    rate = {at("pi3b", "serving.throughput", setting="native", clients=50): 5.0}
    found = shelf.add(rate).add(as_in_the_paper()).check("later_generations_serve_no_slower")
    assert "pi3b 10 ms, pi2b 12.5 ms (50 native)" in found.numbers


def test_boards_that_serve_all_clients_there_are_withstand_as_many(shelf: Shelf) -> None:
    found = shelf.add(as_in_the_paper()).check("later_generations_withstand_more_clients")
    assert "pi1b 250 clients, pi2b 250 clients (native)" in found.numbers


def test_boards_that_both_fail_early_do_not_withstand_more(shelf: Shelf) -> None:
    world = as_in_the_paper()
    world[at("pi2b", "serving.capacity", setting="native")] = 100
    world[at("pi1b", "serving.capacity", setting="native")] = 100
    assert shelf.add(world).check("later_generations_withstand_more_clients").verdict == "does not hold"


def test_a_later_generation_is_compared_with_the_one_before_it(shelf: Shelf) -> None:
    world = as_in_the_paper()
    world[at("pi4b", "io.memory_time", size="1MiB")] = 1.0
    found = shelf.add(world).check("later_generations_do_io_no_slower")
    assert found.verdict == "does not hold"
    assert "pi4b 1 s, pi3b 200 µs (1MiB)" in found.numbers
    assert found.missing == ("io.disk_read_time, io.disk_write_time of pi4b",)


def test_a_figure_of_zero_counts_as_missing(shelf: Shelf) -> None:
    world = as_in_the_paper()
    world[at("t2_small", "io.disk_read_time", size="1MiB")] = 0.0
    found = shelf.add(world).check("writes_cost_boards_more_than_the_cloud")
    assert (found.verdict, len(found.missing)) == ("not measured", len(BOARDS))


def test_all_are_checked_in_the_papers_order(shelf: Shelf) -> None:
    found = claims.check_all(Results())
    assert [claim.id for claim in found] == claims.names()
    sections = [claim.section for claim in found]
    assert sections == sorted(sections)
    assert set(sections) == {"4.I", "4.II", "4.III", "4.IV"}


PAGES = "later_generations_serve_no_slower"


def of(world: World, *models: str) -> World:
    return {figure: value for figure, value in world.items() if figure[0] in models}


def test_page_times_from_two_places_are_not_compared(shelf: Shelf) -> None:
    world = as_in_the_paper()
    world[at("pi3b", "serving.page_time", setting="native", clients=50)] = 9.0
    shelf.add(of(world, "pi1b", "pi2b"), emulated=False, load_from="rack1")
    found = shelf.add(of(world, "pi3b"), emulated=False, load_from="rack2").check(PAGES)
    assert found.verdict == "holds"
    assert not [numbers for numbers in found.numbers if "pi3b" in numbers]
    assert found.missing == ("serving.page_time of pi3b with load from rack1",)
    found = shelf.add(of(world, "pi2b"), emulated=False, load_from="rack2").check(PAGES)
    assert found.verdict == "does not hold"
    assert "pi3b 9 s, pi2b 12.5 ms (50 native)" in found.numbers


def test_what_does_not_depend_on_the_load_is_compared_across_places(shelf: Shelf) -> None:
    world = as_in_the_paper()
    shelf.add(of(world, "pi1b", "pi2b"), emulated=False, load_from="rack1")
    shelf.add(of(world, "pi3b"), emulated=False, load_from="rack2")
    found = shelf.check("later_generations_do_io_no_slower")
    assert (found.verdict, found.missing) == ("holds", ())
    assert len(found.numbers) == len(set(found.numbers))
    assert [numbers for numbers in found.numbers if numbers.startswith("pi3b")]
