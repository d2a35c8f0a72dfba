"""A WebAssembly kernel draws the Mandelbrot set; Python takes the picture without a copy.

The kernel lays the pixels out as PNG wants them: each row is a zero byte and then three bytes a pixel.
So what Python hands to zlib is a slice of the instance's own memory.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

from wasmtime_rt import WasmEngine, WasmInstance, WasmModule, WasmStore

KERNEL = """
(module
  (memory (export "memory") 1)

  ;; How many of `limit` steps the point (cr, ci) takes to leave the circle of radius 2.
  (func $steps (param $cr f64) (param $ci f64) (param $limit i32) (result i32)
    (local $r f64) (local $i f64) (local $rr f64) (local $ii f64) (local $n i32)
    (block $out
      (loop $step
        (br_if $out (i32.eq (local.get $n) (local.get $limit)))
        (local.set $rr (f64.mul (local.get $r) (local.get $r)))
        (local.set $ii (f64.mul (local.get $i) (local.get $i)))
        (br_if $out (f64.gt (f64.add (local.get $rr) (local.get $ii)) (f64.const 4)))
        (local.set $i (f64.add (f64.mul (f64.mul (local.get $r) (local.get $i)) (f64.const 2))
                               (local.get $ci)))
        (local.set $r (f64.add (f64.sub (local.get $rr) (local.get $ii)) (local.get $cr)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $step)))
    (local.get $n))

  ;; Draws into memory from address 0 and returns the number of bytes.
  (func (export "draw") (param $width i32) (param $height i32) (param $limit i32) (result i32)
    (local $x i32) (local $y i32) (local $at i32) (local $n i32) (local $scale f64)
    (local.set $n (i32.mul (local.get $height)
                           (i32.add (i32.const 1) (i32.mul (local.get $width) (i32.const 3)))))
    (local.set $x (i32.sub (i32.div_u (i32.add (local.get $n) (i32.const 65535)) (i32.const 65536))
                           (memory.size)))
    (if (i32.gt_s (local.get $x) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $x)) (i32.const -1)) (then unreachable))))
    (local.set $scale (f64.div (f64.const 3) (f64.convert_i32_u (local.get $width))))
    (loop $rows
      (i32.store8 (local.get $at) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $x (i32.const 0))
      (loop $columns
        (local.set $n
          (call $steps
            (f64.sub (f64.mul (f64.convert_i32_u (local.get $x)) (local.get $scale)) (f64.const 2.2))
            (f64.mul (f64.sub (f64.convert_i32_u (local.get $y))
                              (f64.div (f64.convert_i32_u (local.get $height)) (f64.const 2)))
                     (local.get $scale))
            (local.get $limit)))
        (if (i32.eq (local.get $n) (local.get $limit))
          (then (local.set $n (i32.const 0))))
        (i32.store8 (local.get $at) (i32.mul (local.get $n) (i32.const 9)))
        (i32.store8 offset=1 (local.get $at) (i32.mul (local.get $n) (i32.const 5)))
        (i32.store8 offset=2 (local.get $at) (i32.mul (local.get $n) (i32.const 13)))
        (local.set $at (i32.add (local.get $at) (i32.const 3)))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (br_if $columns (i32.lt_u (local.get $x) (local.get $width))))
      (local.set $y (i32.add (local.get $y) (i32.const 1)))
      (br_if $rows (i32.lt_u (local.get $y) (local.get $height))))
    (local.get $at)))
"""


def png(width: int, height: int, rows: memoryview) -> bytes:
    """``rows`` as a PNG file: each a filter byte and then three bytes a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def draw(width: int, height: int, limit: int = 256) -> bytes:
    """The Mandelbrot set as a PNG file."""
    engine = WasmEngine()
    with WasmStore(engine) as store:
        exports = WasmInstance(store, WasmModule(engine, KERNEL)).exports
        size = exports.draw(width, height, limit)
        return png(width, height, exports.memory.view()[:size])


def main() -> None:
    """Write the picture to the path given, or to ``mandelbrot.png``."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "mandelbrot.png")
    path.write_bytes(draw(900, 600))
    print(f"900 x 600 points, up to 256 steps each: {path.resolve()}")


if __name__ == "__main__":
    main()
