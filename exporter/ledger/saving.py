"""What the ledger must write of the accounts: taken from their families, and given back where it was not written."""

from __future__ import annotations

from dataclasses import replace

from exporter.ledger.changes import Changes
from exporter.ledger.families import Accounts


def take(accounts: Accounts, changes: Changes) -> Changes:
    """The changes, and all accounts that moved since the last take."""
    moved, relabelled, fewest = [], set(), {}
    for name, family in accounts.items():
        moved += [(name, row, family.labels[row], family.values[row]) for row in sorted(family.unsaved)]
        family.unsaved.clear()
        if family.fewest is not None:
            relabelled |= {(name, row) for row in family.relabelled}
            fewest[name], family.fewest = family.fewest, None
            family.relabelled.clear()
    return replace(changes, accounts=tuple(moved), relabelled=frozenset(relabelled), fewest=fewest)


def give_back(accounts: Accounts, changes: Changes) -> None:
    """These changes did not reach the disk: the next take has them again."""
    for name, row, _, _ in changes.accounts:
        accounts[name].unsaved.add(row)
    for name, row in changes.relabelled:
        accounts[name].relabelled.add(row)
    for name, rows in changes.fewest.items():
        accounts[name].fewest = rows
