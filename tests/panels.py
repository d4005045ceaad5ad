"""What every panel must do, whatever it shows: checks that the tests of the widgets share."""

import base64
from collections.abc import Callable

import ipywidgets

from ftlib.classroom.widgets import Panel

CONTROLS = (ipywidgets.Dropdown, ipywidgets.ToggleButtons, ipywidgets.Button)


def check_controls(panel: Panel, names: list[str]) -> None:
    """Every control has a name and works from the keyboard; a slider's name is not said by a screen reader."""
    assert [child.description for child in panel.children if isinstance(child, CONTROLS)] == names
    assert not [child for child in panel.children if "Slider" in type(child).__name__]


def check_without_a_kernel(panel: Panel, most: int, change: Callable[[], None]) -> None:
    """It is saved with words and a picture of fewer than `most` characters, which is another one after the change."""
    bundle, _ = panel._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG") and len(bundle["image/png"]) < most
    assert bundle["text/plain"] == panel.alt and "application/vnd.jupyter.widget-view+json" in bundle
    change()
    assert panel._repr_mimebundle_()[0]["image/png"] != bundle["image/png"]
