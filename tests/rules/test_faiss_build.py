"""Which faiss is installed, whether it is whole, and where it runs."""

import ast
import os
import re
import subprocess
import sys
import types
import warnings
from importlib.metadata import PackageNotFoundError

import faiss
import numpy as np
import pytest

from hf_vitselect.rules import SemDeDup, faiss_build
from hf_vitselect.rules.clusters import kmeans, unit_rows
from hf_vitselect.rules.faiss_build import count_gpus, faiss_notes, load_faiss

UNITS = unit_rows(np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32))


@pytest.fixture
def anew(monkeypatch):
    """Packages to count as installed; faiss is looked at anew before and after."""

    def install(*names):
        def version(name):
            if name not in names:
                raise PackageNotFoundError(name)
            return "1.15.1"

        monkeypatch.setattr(faiss_build, "version", version)

    load_faiss.cache_clear()
    yield install
    load_faiss.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch):
    """A faiss that says it has two GPUs; what it would copy to them."""
    copied = []

    def copy(index, co=None, ngpu=-1):
        copied.append((type(index).__name__, ngpu))
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", copy, raising=False)
    return copied


SEEN = """
import os, numpy as np
from threadpoolctl import threadpool_info
from hf_vitselect.rules.faiss_build import load_faiss
def seen():
    return {each["filepath"]: each["architecture"] for each in threadpool_info() if "architecture" in each}
before = seen()
load_faiss()
print(sorted(before.values()), sorted(value for path, value in seen().items() if path not in before))
print(os.environ.get("OPENBLAS_CORETYPE"))
"""


@pytest.mark.parametrize("named", [None, "Haswell"])
def test_processor_is_known_to_faiss(named):
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    env |= {"OPENBLAS_CORETYPE": named} if named else {}
    done = subprocess.run([sys.executable, "-c", SEEN], capture_output=True, text=True, check=True, env=env)
    architectures, variable = done.stdout.splitlines()
    assert variable == str(named)
    before, new = map(ast.literal_eval, architectures.replace("] [", "]|[").split("|"))
    same = {"SapphireRapids": "SkylakeX", "Cooperlake": "SkylakeX"}
    if before and new and before[0] in faiss_build._KERNELS:  # the builds of Linux and Windows for x86
        assert new == [same.get(before[0], before[0])]


@pytest.mark.parametrize("installed", [("faiss-cpu",), ("faiss-gpu",), ("faiss-cpu", "faiss-gpu")])
def test_gpu_build_loads_without_a_word(installed, anew, monkeypatch):
    anew(*installed)
    monkeypatch.setattr(faiss, "get_compile_options", lambda: "OPTIMIZE AVX2 GPU ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_faiss() is faiss


def test_overwritten_gpu_build_is_named(anew, monkeypatch):
    anew("faiss-cpu", "faiss-gpu")
    monkeypatch.setattr(faiss, "get_compile_options", lambda: "OPTIMIZE AVX2 ")
    with pytest.warns(UserWarning, match=re.escape("pip install --force-reinstall --no-deps faiss-gpu")):
        load_faiss()


@pytest.mark.parametrize("left", ["faiss-cpu", "faiss-gpu"])
def test_half_removed_faiss_is_an_error(left, anew, monkeypatch):
    anew(left)
    monkeypatch.setitem(__import__("sys").modules, "faiss", types.ModuleType("faiss"))
    with pytest.raises(ImportError, match=f"--no-deps {left}`"):
        load_faiss()


def test_gpus_cluster_only_where_allowed(two_gpus):
    on_cpu = kmeans(UNITS, 4, np.random.default_rng(0))
    assert two_gpus == []
    on_gpu = kmeans(UNITS, 4, np.random.default_rng(0), gpu=True)
    assert two_gpus == [("IndexFlatIP", 2)]
    assert [np.array_equal(*pair) for pair in zip(on_cpu, on_gpu, strict=True)] == [True, True]


def test_recipes_say_where_faiss_ran(monkeypatch):
    notes = [SemDeDup().notes(None, UNITS, 3, np.random.default_rng(0)), faiss_notes()]
    assert notes == [{"faiss": "CPU"}] * 2
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    assert count_gpus() == 1
    assert SemDeDup().notes(None, UNITS, 3, np.random.default_rng(0)) == {"faiss": "GPU"}
