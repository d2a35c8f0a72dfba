"""WebAssembly from Python."""
