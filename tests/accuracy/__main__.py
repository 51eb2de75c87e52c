"""How far each split is from the truth: `python -m tests.accuracy`. The same figures every time."""

from tests.accuracy.table import results, show

for line in show(list(results())):
    print(line)
