"""The reference lists every public name."""

import importlib

import public_names
import pytest

import hf_vitselect


def test_door_has_every_name():
    listed = public_names.door()
    assert {name.name for name in listed} == {*hf_vitselect.__all__} - {"__version__"}
    for name in listed:
        assert getattr(hf_vitselect, name.name) is getattr(importlib.import_module(name.module), name.name)
        assert name.summary
        assert name in public_names.names_of(name.room)


@pytest.mark.parametrize("room", public_names.ROOMS)
def test_room_has_every_name(room):
    module, listed = importlib.import_module(f"hf_vitselect.{room}"), public_names.names_of(room)
    assert {name.name for name in listed} >= {*getattr(module, "__all__", ())}
    for name in listed:
        defined = getattr(importlib.import_module(name.module), name.name)
        assert getattr(module, name.name, defined) is defined
