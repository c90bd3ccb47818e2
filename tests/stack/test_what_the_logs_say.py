"""Every warning and error that the servers wrote in this run is explained in docs/operating.md."""

from __future__ import annotations

import re
from collections import Counter

from pages import table
from stack import SERVERS, Stack

BAD = re.compile(r"(?i:level|lvl)=(?i:warn|error)|\t(warn|error|fatal|panic)\t|\bpanic:|^Error:|\bFATAL\b|Traceback")


def test_nothing_unexplained(stack: Stack) -> None:
    explained = [(server, re.compile(line.strip("`"))) for server, line, _ in table("explained")]
    lines = [line.partition(" | ") for line in stack.logs()]
    assert {server for server, _, _ in lines} >= set(SERVERS) - {"prometheus"}, "prometheus has nothing to say"
    bad = [(server, text) for server, _, text in lines if BAD.search(text)]
    used: Counter[str] = Counter()
    unexplained = []
    for server, text in bad:
        matching = [pattern for whose, pattern in explained if whose == server and pattern.search(text)]
        used.update(pattern.pattern for pattern in matching)
        if not matching:
            unexplained.append(f"{server} | {text}")
    print(f"{len(lines)} lines, {len(bad)} warnings and errors, explained by: {dict(used)}")
    kinds = {re.sub(r"[0-9a-f]{4,}|\d+", "#", line)[:160]: line for line in unexplained}
    assert not unexplained, "\n".join(line[:400] for line in kinds.values())
