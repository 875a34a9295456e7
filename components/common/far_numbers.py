"""Numbers that lie far from all others, as those that stand for an unknown one."""

import re
from collections.abc import Iterable

FAR = 5  # times the range of all other numbers
NEAR = 2  # times it, which is enough for numbers of nines
OTHERS = 4  # different numbers at least, to say what is far from them
NINES = re.compile(r"-?9{2,}(\.0)?")  # such as -999, which usually means that nothing is known


def far_numbers(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the least and the greatest number if far from all others, each with their range."""
    ordered = sorted(set(names), key=float)
    if len(ordered) <= OTHERS:
        return []
    found = []
    for name, others in ((ordered[0], ordered[1:]), (ordered[-1], ordered[:-1])):
        first, last = float(others[0]), float(others[-1])
        distance = max(first - float(name), float(name) - last)
        if distance > (NEAR if NINES.fullmatch(name) else FAR) * (last - first):
            found.append((name, f"{first:g} to {last:g}"))
    return found
