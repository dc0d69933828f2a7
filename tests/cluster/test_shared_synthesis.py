"""A data set that workers or shards make together: the bytes of one process."""

import pytest

from napari_hush import cli

OPTIONS = ["--n", "7", "--test-share", "0.3", "--shape", "48", "48", "--seed", "3"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def synthesize(out, *arguments):
        code = cli.main(["synthesize", out, *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return synthesize


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("layout", ["paired", "unpaired", "hdf5"])
def test_workers_write_the_bytes_of_one_process(run, tmp_path, workers, layout):
    one, two = ("one.h5", "two.h5") if layout == "hdf5" else ("one", "two")
    assert run(one, "--layout", layout, *OPTIONS)[0] == 0
    code, out, err = run(two, "--layout", layout, *OPTIONS, "--cluster", workers)
    assert code == 0 and "5 to train and 2 to test" in out, err
    if layout == "hdf5":
        assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()
    else:
        assert files(tmp_path / one) == files(tmp_path / two)


def test_shards_write_the_bytes_of_one_process_and_tell_who_is_missing(run, tmp_path):
    assert run("one", *OPTIONS)[0] == 0
    code, out, _ = run("two", *OPTIONS, "--shard", "2/3")
    assert code == 0 and "shard 2/3 is done; not done yet: 1/3, 3/3" in out and "--shard 1/3" in out
    assert run("two", *OPTIONS, "--shard", "1/3")[0] == 0
    (tmp_path / "two" / "train" / "clean" / "00000.tif").unlink()
    code, out, _ = run("two", *OPTIONS, "--shard", "3/3")
    assert code == 0 and "not done yet: 1/3" in out
    code, out, _ = run("two", *OPTIONS, "--shard", "1/3")
    assert code == 0 and "5 to train and 2 to test" in out
    assert files(tmp_path / "one") == files(tmp_path / "two")
    code, out, _ = run("three", "--settings", "one/settings.toml", "--shard", "1/1")
    assert code == 0 and files(tmp_path / "one") == files(tmp_path / "three")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["out.h5", "--layout", "hdf5", "--shard", "1/2"], "one file is written by one process, not by shards"),
        (["out", "--shard", "1/2", "--cluster", "local:2"], "--shard and --cluster: give one of them"),
        (["out", "--cluster", "here"], "--cluster here: expected tcp://"),
    ],
)
def test_what_cannot_be_shared_is_told(run, tmp_path, arguments, words):
    code, _, err = run(*arguments, *OPTIONS)
    assert code == 2 and words in err
    assert list(tmp_path.iterdir()) == []


def test_images_that_workers_wrote_elsewhere_are_missed(run, tmp_path, workers, monkeypatch):
    monkeypatch.setattr("napari_hush.datasets.folders._make_files", _nothing)
    code, _, err = run("out", *OPTIONS, "--cluster", workers)
    assert code == 2 and "7 of them are not here: a cluster needs a file system that all its machines share" in err


def _nothing(*_):
    return None
