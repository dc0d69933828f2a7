"""Limits of cgroups: that of a job is found however deep it lies, in both versions."""

import pytest

from napari_hush.memory import free_memory

MB = 1 << 20
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


def group(root, version, path, limit, used, cache=None):
    base = root / ("sys/fs/cgroup" if version == V2 else "sys/fs/cgroup/memory") / path
    base.mkdir(parents=True, exist_ok=True)
    (base / version[0]).write_text(f"{limit}\n")
    (base / version[1]).write_text(f"{used}\n")
    if cache is not None:
        (base / "memory.stat").write_text(f"anon 1\n{version[2]} {cache}\nother 3\n")


def lines(root, *texts):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{text}\n" for text in texts))


@pytest.mark.parametrize(("version", "line"), [(V2, "0::/slurm/job/step"), (V1, "9:cpu,memory:/slurm/job/step")])
@pytest.mark.parametrize("tightest", ["", "slurm", "slurm/job", "slurm/job/step"])
def test_the_tightest_of_all_nested_limits_counts(tmp_path, version, line, tightest):
    lines(tmp_path, "1:name=systemd:/elsewhere", line)
    for path in ("", "slurm", "slurm/job", "slurm/job/step"):
        group(tmp_path, version, path, (30 if path == tightest else 50) * MB, 10 * MB)
    assert free_memory("cpu", tmp_path) == 20 * MB


@pytest.mark.parametrize("version", [V1, V2])
def test_files_that_were_read_are_not_in_the_way(tmp_path, version):
    lines(tmp_path, "0::/job" if version == V2 else "4:memory:/job")
    group(tmp_path, version, "job", 40 * MB, 35 * MB, cache=25 * MB)
    assert free_memory("cpu", tmp_path) == 30 * MB


def test_no_limit_is_that_of_the_machine(tmp_path):
    whole = free_memory("cpu", tmp_path)
    lines(tmp_path, "0::/job", "5:memory:/job")
    group(tmp_path, V2, "job", "max", 10 * MB)
    group(tmp_path, V1, "job", 0x7FFFFFFFFFFFF000, 10 * MB)
    assert free_memory("cpu", tmp_path) > whole / 2 > 40 * MB


def test_more_than_the_limit_leaves_nothing_and_strange_paths_lead_nowhere(tmp_path):
    root = tmp_path / "root"
    lines(root, "0::/../../outside", "nonsense", "")
    group(root, V2, "", "max", 0)
    group(tmp_path, V2, "outside", MB, 2 * MB)
    assert free_memory("cpu", root) > 0
    group(root, V2, "", MB, 2 * MB)
    assert free_memory("cpu", root) == 0
