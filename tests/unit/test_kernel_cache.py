"""Where compiled kernels live: what a folder's name stands for, and which folders go."""

import fcntl
import os
import stat

import pytest

from functions import kernel_cache
from functions.kernel_cache import IN_USE, fingerprint, remove_old, tree


@pytest.fixture
def root(tmp_path):
    for name in (
        "functions/risk.py",
        "functions/india/nse/charges.py",
        "strategies/momentum.py",
        "connectors/redis.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("A = 1\n")
    return tmp_path


def name_of(root):
    return fingerprint(*tree(root), root=root)


@pytest.mark.parametrize(
    ("change", "new"),
    [
        (lambda r: None, False),
        (lambda r: (r / "functions/risk.py").write_text("A = 2\n"), True),
        (lambda r: (r / "functions/india/nse/charges.py").write_text("A = 2\n"), True),
        (lambda r: (r / "functions/india/nse/charges.py").rename(r / "functions/india/charges.py"), True),
        (lambda r: (r / "strategies/momentum.py").rename(r / "functions/momentum.py"), True),
        (lambda r: (r / "functions/india/rates.csv").write_text("0.1\n"), True),
        (lambda r: (r / "strategies/empty.py").touch(), True),
        (lambda r: (r / "functions/risk.py").touch(), False),
        (lambda r: (r / "functions/.risk.py.swp").write_text("an editor's"), False),
        (lambda r: (r / "connectors/redis.py").write_text("A = 2\n"), False),
    ],
)
def test_a_folder_stands_for_every_file_that_a_kernel_may_be_made_from(root, change, new):
    before = name_of(root)

    change(root)

    assert (name_of(root) != before) is new


def test_the_same_sources_have_the_same_name_wherever_they_lie(root, tmp_path_factory):
    other = tmp_path_factory.mktemp(".of_another") / "root"
    root.rename(other)
    other_name = name_of(other)
    other.rename(root)

    assert name_of(root) == other_name
    assert len(tree(root)) == 3


def test_bytecode_beside_the_sources_is_no_source(root):
    before = name_of(root)
    (root / "functions/india/__pycache__").mkdir()
    (root / "functions/india/__pycache__/charges.cpython-311.pyc").write_bytes(b"made")

    assert name_of(root) == before


def used(home, name, when):
    (home / name).mkdir()
    (home / name / "functions.risk.check.1f.kernel").write_bytes(b"machine code")
    (home / name / IN_USE).touch()
    os.utime(home / name / IN_USE, (when, when))


def folders(home):
    return sorted(path.name for path in home.iterdir())


def test_of_other_versions_the_newest_stay_and_no_folder_that_a_process_runs_from_goes(tmp_path):
    for when, name in enumerate(("a0", "a1", "a2", "a3", "a4"), 1000):
        used(tmp_path, name, when)
    running = os.open(tmp_path / "a1" / IN_USE, os.O_RDWR)
    fcntl.flock(running, fcntl.LOCK_SH)

    remove_old(tmp_path, kept=2)
    assert folders(tmp_path) == ["a1", "a3", "a4"]

    os.close(running)
    remove_old(tmp_path, kept=2)
    assert folders(tmp_path) == ["a3", "a4"]


def test_what_an_interrupted_removal_left_goes_and_what_is_no_folder_of_ours_stays(tmp_path):
    (tmp_path / ".removed-a0-17").mkdir()
    (tmp_path / "of-somebody-else").mkdir()
    (tmp_path / "f").write_text("a file")

    remove_old(tmp_path, kept=0)

    assert folders(tmp_path) == ["f", "of-somebody-else"]


def test_a_folder_that_is_entered_is_in_use_until_the_process_ends(tmp_path):
    folder = kernel_cache._in(tmp_path, "a0")
    lock = os.open(folder / IN_USE, os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)


def test_in_a_shared_place_only_a_folder_that_is_ours_alone_is_used(tmp_path):
    """What lies there is run; its name is known to everybody on the machine."""
    assert kernel_cache._in_shared(tmp_path / "new", "a0") == tmp_path / "new" / "a0"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700

    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o770)
    with pytest.raises(PermissionError):
        kernel_cache._in_shared(tmp_path / "open", "a0")

    (tmp_path / "link").symlink_to(tmp_path / "new")
    with pytest.raises(PermissionError):
        kernel_cache._in_shared(tmp_path / "link", "a0")
