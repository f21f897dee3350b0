"""Compiled kernels on disk, each side in a process of its own."""

import os
import resource
import shutil
import subprocess
import sys
from functools import partial

import pytest

from functions.kernel_cache import PACKAGES, ROOT

DEEP = "from functions.kernel import kernel\n\n\n@kernel\ndef fee(value):\n    return value // {parts}\n"
PROBE = (
    "from functions.kernel import entry\nfrom functions.india.nse.fees import fee\n\n\n"
    "@entry\ndef charged(value):\n    return fee(value) + 1\n"
)
RUN = """
from functions.probe import charged
print(charged(1000), sum(charged.stats.cache_hits.values()))
"""


@pytest.fixture
def root(tmp_path):
    """The tree with a kernel two folders down, and an entry that calls it."""
    root = tmp_path / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "functions/india/nse").mkdir(parents=True)
    (root / "functions/india/nse/fees.py").write_text(DEEP.format(parts=100))
    (root / "functions/probe.py").write_text(PROBE)
    return root


@pytest.fixture
def run(root, tmp_path):
    """Charges 1000 in a new process: (the answer, kernels that came from disk), and what it said."""

    def run(*, home=tmp_path / "cache", temporary=tmp_path, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
        environment |= {"XDG_CACHE_HOME": str(home), "TMPDIR": str(temporary)}
        made = subprocess.run(
            [sys.executable, "-c", RUN], cwd=root, env=environment, capture_output=True, text=True, **options
        )
        assert made.returncode == 0, made.stderr
        return tuple(map(int, made.stdout.split())), made.stderr

    return run


def test_an_edit_two_folders_down_compiles_anew(root, run):
    assert run() == ((11, 0), "")
    assert run() == ((11, 1), "")

    (root / "functions/india/nse/fees.py").write_text(DEEP.format(parts=10))

    assert run() == ((101, 0), "")


def test_a_damaged_kernel_is_compiled_anew(run, tmp_path):
    run()
    (kept,) = tmp_path.rglob("*charged*.kernel")
    whole = kept.read_bytes()

    kept.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])

    assert run() == ((11, 0), "")
    assert run() == ((11, 1), "")


def only_warning(said):
    (line,) = said.splitlines()
    assert line.startswith("warning: compiled kernels cannot be kept (")
    assert "XDG_CACHE_HOME" in line
    return line


def test_a_full_disk_costs_the_compiler_at_each_start_and_one_line(run, tmp_path):
    """A limit on the size of files is met as a full disk is: a write fails in its middle."""
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1024, 1024))

    answer, said = run(preexec_fn=full)

    assert answer == (11, 0)
    assert "File too large" in only_warning(said)
    assert [path.name for path in (tmp_path / "cache").rglob("*charged*")] == []


def test_without_any_place_to_write_the_engine_runs_all_the_same(run, tmp_path):
    (tmp_path / "file").write_text("in the folder's place")
    nowhere = tmp_path / "shared"
    nowhere.mkdir()
    (nowhere / f"alpha-panda-kernels-{os.getuid()}").write_text("in this one's too")

    answer, said = run(home=tmp_path / "file", temporary=nowhere)

    assert answer == (11, 0)
    assert "no folder" in only_warning(said)


def test_where_the_home_cannot_be_written_the_temporary_folder_keeps_them(run, tmp_path):
    (tmp_path / "file").write_text("in the folder's place")

    assert run(home=tmp_path / "file") == ((11, 0), "")
    assert run(home=tmp_path / "file") == ((11, 1), "")
