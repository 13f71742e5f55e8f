"""Cost of selection: NeighborPenalty against the paper's loop and against other methods.

    python benchmarks/select.py speed         # bar 1: against the paper's loop, in turns, one process
    python benchmarks/select.py exact         # bar 2: the same picks in awkward pools
    python benchmarks/select.py memory        # bar 3: growth of anonymous memory
    python benchmarks/select.py approximate   # bar 4: overlap and speed by pool size
    python benchmarks/select.py peers         # k-center, SemDeDup, apricot on the same features
    python benchmarks/select.py large --rows 665000 --device cuda

Features are synthetic (selection/features.py). Everything runs on `--threads` threads, 1 unless set. CPU
seconds are the process's. docs/results/selection.md keeps what was printed.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

# The standard library has a module of this name. It must win, here and in the other scripts of this folder.
_HERE = os.path.dirname(os.path.abspath(__file__))
_ELSEWHERE = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]

if __name__ == "__main__":
    sys.path[:] = [*_ELSEWHERE, _HERE]
    from selection.commands import main

    main(__doc__)
else:
    spec = PathFinder.find_spec(__name__, _ELSEWHERE)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])
