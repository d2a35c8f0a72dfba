"""What is fuzzed, with the inputs to begin with and some that chance makes of them: ``make fuzz`` does it by coverage."""

import importlib.util
import random
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("fuzz_targets", Path(__file__).with_name("targets.py"))
targets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(targets)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_target(name):
    target, dice = targets.TARGETS[name], random.Random(name)
    seeds = targets.seeds(name)
    for seed in seeds:
        target(seed)
    for _ in range(150):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(data) + 1)
            kind = dice.randrange(4)
            if kind == 0:
                data[at:at] = dice.randbytes(dice.randrange(1, 9))
            elif kind == 1:
                del data[at : at + dice.randrange(1, 9)]
            elif at < len(data):
                data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        target(bytes(data))


def test_a_target_notices(monkeypatch):
    monkeypatch.setattr(targets.w.WasmModule, "deserialize", lambda engine, data: None)
    with pytest.raises(AssertionError):  # a blob that is taken must be the blob
        targets.serialized(b"\0\0\0\0\xff")
