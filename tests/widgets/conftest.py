"""A small model, images and a docked widget."""

from __future__ import annotations

import pytest

from screen import why_no_window

if not why_no_window():
    import numpy as np
    import torch
    from napari.components import ViewerModel
    from napari.utils.notifications import notification_manager
    from qtpy.QtCore import QSettings, QThreadPool

    from napari_hush.card import ModelCard
    from napari_hush.model import Model
    from napari_hush.widgets.denoise.dock import DenoiseWidget
    from napari_hush.widgets.parts import recent

TIMEOUT = 300_000


class SkippedModule(pytest.Module):
    """A test file that is not even imported, because napari may be missing."""

    def collect(self):
        pytest.skip(why_no_window(), allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return SkippedModule.from_parent(parent, path=module_path) if why_no_window() else None


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory):
    """Napari's settings of a person must neither change the tests nor be changed by them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_thread_outlives_qt():
    """The last checks of a deleted dock may still be under way, as in napari, which waits for them before it quits."""
    yield
    QThreadPool.globalInstance().waitForDone(TIMEOUT)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    card = ModelCard(name="tiny", description="For tests. Not for science.")
    Model.create("cnn", {"widths": (2,)}, card=card).save(path)
    return path


@pytest.fixture(autouse=True)
def settings_file(tmp_path_factory, monkeypatch):
    """The recent files of a person must neither change the tests nor be changed by them."""
    path = tmp_path_factory.mktemp("settings") / "napari-hush.ini"
    monkeypatch.setattr(recent, "make_settings", lambda: QSettings(str(path), QSettings.Format.IniFormat))
    return path


@pytest.fixture(autouse=True)
def no_messages_of_before():
    notification_manager.records.clear()
    notification_manager._seen_warnings.clear()


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(40, (96, 128)).astype(np.uint16)


@pytest.fixture
def make_widget(request, model_file, qtbot):
    """Give a viewer with one image layer, and the widget; docked in a window on request, for that takes a second."""
    widgets = []

    def make(data=None, *, window=False, **options):
        viewer = request.getfixturevalue("make_napari_viewer_proxy")(show=True) if window else ViewerModel()
        if data is not None:
            viewer.add_image(data, **{"name": "noisy", **options})
        widget = DenoiseWidget(viewer)
        if window:
            viewer.window.add_dock_widget(widget, name="Denoise")
        else:
            qtbot.addWidget(widget)
        widget._models.add(model_file)
        widget._form.value = type(widget._form.value)(engine="torch", device="cpu")
        widgets.append(widget)
        return viewer, widget

    yield make
    for widget in widgets:
        try:
            widget.cancel()
            qtbot.waitUntil(lambda widget=widget: not widget.running, timeout=TIMEOUT)
        except RuntimeError:  # it is deleted
            continue


@pytest.fixture
def finish(qtbot):
    """Wait for the end of a run."""

    def wait(widget):
        qtbot.waitUntil(lambda: not widget.running, timeout=TIMEOUT)

    return wait


@pytest.fixture
def messages():
    """Give the notifications so far."""
    return lambda: [(str(record.severity), record.message) for record in notification_manager.records]
