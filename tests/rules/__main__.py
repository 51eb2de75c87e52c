"""Write a page of docs/ again: `python -m tests.rules docs` or `simulation`. The same text every time."""

import sys

from tests.rules import runbooks, table

PAGES = {
    "docs": (runbooks.PAGE, runbooks.page),
    "simulation": (table.PAGE, table.page),
}

path, page = PAGES[sys.argv[1]]
path.write_text(page())
print(f"wrote {path}")
