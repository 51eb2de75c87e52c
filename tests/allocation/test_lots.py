"""The queue of cost that waits for its pool's tokens."""

import pytest

from exporter.allocation.lots import Lot, Lots, Seen, as_row

HORIZON_NS = 600 * 10**9


def lot(at_ns: int, cost: int = 7) -> Lot:
    return Lot(at_ns, cost, 3, priced=True)


def test_the_queue_is_as_short_with_quick_ticks_as_with_slow_ones() -> None:
    lots = Lots(HORIZON_NS)
    ticks = 3 * 600 * 20
    idle = 0
    longest = 0
    for tick in range(ticks):
        idle += lots.settle(lot(tick * 50_000_000), Seen.UNKNOWN).idle.cost
        longest = max(longest, len(lots.queue))
    assert longest == 61
    assert idle + lots.pending == 7 * ticks
    assert idle > 0


def test_what_waited_the_horizon_is_idle_and_nothing_younger() -> None:
    lots = Lots(HORIZON_NS)
    lots.settle(lot(0), Seen.UNKNOWN)
    assert lots.settle(lot(HORIZON_NS - 1), Seen.UNKNOWN).idle.cost == 0
    assert lots.settle(lot(HORIZON_NS), Seen.UNKNOWN).idle.cost == 7
    assert lots.pending == 14


def test_a_merged_lot_waits_as_long_as_its_youngest_part() -> None:
    lots = Lots(HORIZON_NS)
    lots.settle(lot(0), Seen.UNKNOWN)
    lots.settle(lot(5 * 10**9), Seen.UNKNOWN)
    assert lots.settle(lot(HORIZON_NS), Seen.UNKNOWN).idle.cost == 0
    assert lots.settle(lot(HORIZON_NS + 5 * 10**9), Seen.UNKNOWN).idle.cost == 14


@pytest.mark.parametrize("horizon_ns", [0, 1, 59])
def test_a_horizon_shorter_than_its_steps_still_expires(horizon_ns: int) -> None:
    lots = Lots(horizon_ns)
    lots.settle(lot(0), Seen.UNKNOWN)
    assert lots.settle(lot(100), Seen.UNKNOWN).idle.cost >= 7


def test_a_row_of_the_ledger_makes_the_same_lot() -> None:
    one = lot(12)
    assert Lot(*as_row(one)) == one
