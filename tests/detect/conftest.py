"""The studies of benchmarks/ run here too, with fewer paths."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # costs are compared on one thread; read when numpy is imported
