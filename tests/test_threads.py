"""Threads do not multiply, keep the order, hand errors out, and are as many as somebody asked for."""

from __future__ import annotations

import sys
import threading

import pytest

from napari_hush import cgroups, threads
from napari_hush.threads import begun, in_threads, thread_count


def test_items_keep_their_order_and_run_side_by_side(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    meeting = threading.Barrier(2, timeout=20)  # broken unless two come at once

    def meet(item):
        meeting.wait()
        return -item

    assert in_threads(meet, [1, 2]) == [-1, -2]


def test_within_a_thread_nothing_starts_another(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    used = in_threads(lambda _: set(in_threads(lambda _: threading.get_ident(), range(5))), range(4))
    assert all(len(one) == 1 for one in used)


def test_an_error_comes_out(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 / item, [1, 0, 2])


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("2,1", 2)])
def test_without_torch_the_environment_says_how_many(monkeypatch, asked, expected):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() == expected


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_nonsense_in_the_environment_means_all_cores(monkeypatch, asked):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() >= 1


def test_torch_says_how_many_where_it_is_loaded():
    torch = pytest.importorskip("torch")
    assert thread_count() == torch.get_num_threads()


@pytest.mark.parametrize("value", ["", "many", "0"])
def test_without_a_number_the_cores_count(monkeypatch, value):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_cores", lambda: 7)
    assert thread_count() == 7


def test_threads_are_not_more_than_a_job_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    limit = tmp_path / "sys/fs/cgroup/cpu.max"
    limit.parent.mkdir(parents=True)
    monkeypatch.setattr(threads.psutil, "cpu_count", lambda logical: 64)
    assert threads._quota() is None
    limit.write_text("max 100000\n")
    assert threads._quota() is None
    limit.write_text("150000 100000\n")
    assert threads._quota() == 2
    assert threads._cores.__wrapped__() <= 2


def test_what_was_begun_runs_beside_what_comes_next(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    meeting = threading.Barrier(2, timeout=20)  # broken unless both come
    waiting = begun(meeting.wait)
    meeting.wait()
    assert waiting() in (0, 1)
    with pytest.raises(ZeroDivisionError):
        begun(lambda: 1 / 0)()


def test_with_one_thread_it_is_done_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 1)
    done = []
    begun(lambda: done.append(1))
    later = begun(lambda: done.append(2))
    assert not done
    later()
    assert done == [2]
