"""Every symbolic feature once more, in plain Python on one sequence, to compare the catalogue with."""

from itertools import pairwise


def digit(symbol, power):
    return bool(symbol & power)


def balanced(x, opening, closing):
    depth = 0
    for symbol in x:
        depth += (symbol == opening) - (symbol == closing)
        if depth < 0:
            return False
    return depth == 0 and opening in x


def in_order(x, first, then):
    return first in x and then in x[x.index(first) :]


def alternates(values):
    return all(a != b for a, b in pairwise(values))


def has_run(values, k):
    return any(all(values[i : i + k]) for i in range(len(values) - k + 1))


def plain_features(vocabulary, length):
    middle = length // 2
    return {
        "contains-1": lambda x: 1 in x,
        "contains-2": lambda x: 2 in x,
        "contains-3": lambda x: 3 in x,
        "contains-either": lambda x: 4 in x or 5 in x,
        "contains-all": lambda x: {6, 7} <= set(x),
        "more-of": lambda x: x.count(8) > x.count(9),
        "in-order": lambda x: in_order(x, 10, 11),
        "balanced": lambda x: balanced(x, 12, 13),
        "first-class": lambda x: digit(x[0], 1),
        "second-class": lambda x: digit(x[1], 4),
        "middle-class": lambda x: digit(x[middle], 2),
        "late-class": lambda x: digit(x[length - 3], 1),
        "last-class": lambda x: digit(x[length - 1], 4),
        "majority-class": lambda x: sum(digit(s, 2) for s in x) > length / 2,
        "class-count": lambda x: sum(digit(s, 1) for s in x) >= 0.7 * length - 1e-9,
        "class-run": lambda x: has_run([digit(s, 4) for s in x], 4),
        "near-agree": lambda x: digit(x[2], 1) == digit(x[3], 1),
        "alternating-prefix": lambda x: alternates([digit(s, 2) for s in x[:4]]),
        "parity": lambda x: len([s for s in x if digit(s, 4)]) % 2 == 0,
        "first-below-second": lambda x: x[0] < x[1],
        "first-below-last": lambda x: x[0] < x[length - 1],
        "middle-below-next": lambda x: x[middle] < x[middle + 1],
        "sorted-prefix": lambda x: x[0] < x[1] < x[2],
        "largest-first-half": lambda x: max(x) not in x[middle:],
        "smallest-last": lambda x: min(x) == x[length - 1],
        "sum-above": lambda x: sum(x) > length * (vocabulary - 1) / 2,
        "prefix-duplicate": lambda x: x[0] == x[1],
        "suffix-duplicate": lambda x: x[length - 1] == x[length - 2],
        "first-last": lambda x: x[0] == x[length - 1],
        "adjacent-duplicate": lambda x: any(a == b for a, b in pairwise(x[1 : length - 1])),
        "gap-duplicate": lambda x: any(x[i] == x[i + 2] for i in range(length - 2)),
        "contains-first-again": lambda x: x[0] in x[2 : length - 1],
        "few-distinct": lambda x: length - len(set(x)) >= 3,
    }
