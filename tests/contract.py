"""Holds the catalog against the table of names it was promised to: ``python tests/contract.py metrics.tsv``.

The table's columns are layer, prometheus_name, type, labels, unit and meaning, separated by tabs.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys


def main(path: str) -> int:
    with open(path, encoding="utf-8", newline="") as file:
        promised = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    listed = subprocess.run(
        [sys.executable, "-m", "otel_mcbot.cli", "metrics", "list", "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    made = {row["prometheus_name"]: row for row in json.loads(listed.stdout)}
    wrong = []
    for row in promised:
        name, labels = row["prometheus_name"], [label for label in row["labels"].split(",") if label]
        found = made.get(name)
        if found is None:
            wrong.append(f"{name}: not in the catalog")
        elif (found["type"], sorted(found["labels"])) != (row["type"], sorted(labels)):
            wrong.append(f"{name}: {found['type']} {found['labels']}, promised {row['type']} {labels}")
        elif found["ours"]:
            wrong.append(f"{name}: promised, but marked as an extra of ours")
    promises = {row["prometheus_name"] for row in promised}
    wrong += [
        f"{name}: neither promised nor ours" for name, row in made.items() if not row["ours"] and name not in promises
    ]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(promised) - len(wrong)} of {len(promised)} promised names are in the catalog")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
