"""WASI: what a program may see, and what it writes."""

import io
import struct

import pytest

from wasmtime_rt import (
    StoreBusyError,
    WasiConfig,
    WasmEngine,
    WasmInstance,
    WasmLinker,
    WasmModule,
    WasmStore,
    rw,
)

SIGNATURES = {
    "fd_write": ["i32"] * 4,
    "fd_read": ["i32"] * 4,
    "args_sizes_get": ["i32"] * 2,
    "args_get": ["i32"] * 2,
    "environ_sizes_get": ["i32"] * 2,
    "environ_get": ["i32"] * 2,
    "path_open": ["i32"] * 5 + ["i64"] * 2 + ["i32"] * 2,
    "fd_prestat_dir_name": ["i32"] * 3,
}

IMPORTS = "".join(
    f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {" ".join(params)}) (result i32)))'
    for name, params in SIGNATURES.items()
)

# Every call is exported as it is, so that Python lays out the memory and reads it.
WRAPPERS = "".join(
    f'(func (export "{name}") (param {" ".join(params)}) (result i32) (call ${name} '
    + " ".join(f"(local.get {i})" for i in range(len(params)))
    + "))"
    for name, params in SIGNATURES.items()
)

CALLS = f'(module {IMPORTS} (memory (export "memory") 1) {WRAPPERS})'

SUCCESS, PERM_DENIED = 0, {2, 63, 69, 76}  # acces, perm, rofs, notcapable
CREATE, READ, WRITE = 1, 1 << 1, 1 << 6


@pytest.fixture(scope="module")
def wasi_module():
    engine = WasmEngine()
    linker = WasmLinker(engine)
    linker.define_wasi()
    return engine, linker, WasmModule(engine, CALLS)


@pytest.fixture
def program(wasi_module):
    """Start the program with a configuration: ``program(argv=[...])``."""
    engine, linker, module = wasi_module

    def start(**settings):
        return linker.instantiate(WasmStore(engine, wasi=WasiConfig(**settings)), module).exports

    return start


def strings(exports, what):
    """The arguments or the environment, as the program gets them."""
    assert exports[f"{what}_sizes_get"](0, 4) == SUCCESS
    count, size = struct.unpack("<II", exports.memory.read(0, 8))
    assert exports[f"{what}_get"](64, 2048) == SUCCESS
    found = [exports.memory.read_cstring(exports.memory.read_u32(64 + 4 * i)) for i in range(count)]
    assert sum(len(item.encode()) + 1 for item in found) == size
    return found


def say(exports, text, fd=1):
    data = text.encode()
    exports.memory.write(2048, data)
    exports.memory.write(0, struct.pack("<II", 2048, len(data)))
    assert exports.fd_write(fd, 0, 1, 8) == SUCCESS
    assert exports.memory.read_u32(8) == len(data)


def read(exports, fd, size=64):
    exports.memory.write(0, struct.pack("<II", 2048, size))
    assert exports.fd_read(fd, 0, 1, 8) == SUCCESS
    return exports.memory.read(2048, exports.memory.read_u32(8))


def open_file(exports, name, flags=0, rights=READ):
    """The errno and the descriptor of a file in the first preopened folder."""
    length = exports.memory.write_utf8(512, name)
    return exports.path_open(3, 1, 512, length, flags, rights, rights, 0, 16), exports.memory.read_u32(16)


# ---- Streams


@pytest.mark.parametrize(("name", "fd"), [("stdout", 1), ("stderr", 2)])
def test_output_goes_to_a_file_object_or_a_callable(program, name, fd):
    buffer, pieces = io.BytesIO(), []
    for target in (buffer, pieces.append):
        exports = program(**{name: target})
        say(exports, "grüße\n", fd)
        say(exports, "again\n", fd)
    assert buffer.getvalue() == "grüße\nagain\n".encode()
    assert pieces == ["grüße\n".encode(), b"again\n"]


def test_output_goes_to_a_file(program, tmp_path):
    target = tmp_path / "out.txt"
    exports = program(stdout=target)
    say(exports, "to a file")
    exports.memory.store.close()
    assert target.read_text() == "to a file"


def test_output_is_dropped_unless_asked_for(program, capfd):
    exports = program()
    say(exports, "nobody hears")
    say(exports, "nobody hears", 2)
    assert capfd.readouterr() == ("", "")


def test_output_is_inherited_when_asked_for(program, capfd):
    exports = program(stdout="inherit", stderr="inherit")
    say(exports, "out")
    say(exports, "err", 2)
    exports.memory.store.close()
    assert capfd.readouterr() == ("out", "err")


def test_much_output_arrives_whole(program):
    buffer = io.BytesIO()
    exports = program(stdout=buffer)
    for _ in range(100):
        say(exports, "x" * 20_000)
    assert buffer.getvalue() == b"x" * 2_000_000


def test_an_exception_of_the_writer_comes_out(program):
    def refuse(_):
        raise ValueError("full")

    with pytest.raises(ValueError, match="full"):
        say(program(stdout=refuse), "text")


def test_the_writer_may_look_into_the_program(program):
    seen = []
    exports = program(stdout=lambda data: seen.append((data, exports.memory.read(2048, 2))))
    say(exports, "hi")
    assert seen == [(b"hi", b"hi")]


def test_input_is_bytes_or_a_file_and_empty_by_default(program, tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"from a file")
    assert read(program(stdin=b"from bytes\0"), 0) == b"from bytes\0"
    assert read(program(stdin=b"abcdef"), 0, 4) == b"abcd"
    assert read(program(stdin=path), 0) == b"from a file"
    assert read(program(), 0) == b""
    assert read(program(stdin=b""), 0) == b""


# ---- Arguments and environment


def test_arguments_and_environment(program):
    exports = program(argv=["prog", "--größe", ""], env={"HOME": "/", "EMPTY": "", "EQ": "a=b"})
    assert strings(exports, "args") == ["prog", "--größe", ""]
    assert sorted(strings(exports, "environ")) == ["EMPTY=", "EQ=a=b", "HOME=/"]


def test_nothing_is_inherited(program, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    exports = program()
    assert strings(exports, "args") == []
    assert strings(exports, "environ") == []


# ---- Folders


def test_a_folder_is_read_only_unless_marked(program, tmp_path):
    (tmp_path / "a.txt").write_text("content")
    exports = program(preopens={"/data": tmp_path})
    assert exports.fd_prestat_dir_name(3, 2048, 5) == SUCCESS
    assert exports.memory.read_utf8(2048, 5) == "/data"
    errno, fd = open_file(exports, "a.txt")
    assert errno == SUCCESS
    assert read(exports, fd) == b"content"
    assert open_file(exports, "new.txt", CREATE, WRITE)[0] in PERM_DENIED
    assert open_file(exports, "a.txt", 0, WRITE)[0] in PERM_DENIED
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "content"


@pytest.mark.parametrize("convert", [str, lambda path: path])
def test_a_marked_folder_is_writable(program, tmp_path, convert):
    exports = program(preopens={"/": rw(convert(tmp_path))})
    errno, fd = open_file(exports, "new.txt", CREATE, WRITE)
    assert errno == SUCCESS
    say(exports, "written", fd)
    assert (tmp_path / "new.txt").read_text() == "written"


def test_a_program_does_not_leave_its_folder(program, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "secret.txt")
    exports = program(preopens={"/": rw(tmp_path / "inside")})
    for name in ("../secret.txt", "link", str(tmp_path / "secret.txt")):
        assert open_file(exports, name)[0] != SUCCESS
    assert program().fd_prestat_dir_name(3, 2048, 5) == 8


# ---- Configuration


def test_one_configuration_serves_many_stores(wasi_module):
    engine, linker, module = wasi_module
    pieces = []
    config = WasiConfig(argv=["prog"], stdout=pieces.append)
    for n in range(3):
        exports = linker.instantiate(WasmStore(engine, wasi=config), module).exports
        assert strings(exports, "args") == ["prog"]
        say(exports, str(n))
    assert pieces == [b"0", b"1", b"2"]


def test_wasi_is_set_again(wasi_module):
    engine, linker, module = wasi_module
    first, second = [], []
    store = WasmStore(engine)
    store.set_wasi(WasiConfig(argv=["one"], stdout=first.append))
    exports = linker.instantiate(store, module).exports
    say(exports, "1")
    store.set_wasi(WasiConfig(argv=["two"], stdout=second.append))
    say(exports, "2")
    assert strings(exports, "args") == ["two"]
    assert (first, second) == ([b"1"], [b"2"])
    with pytest.raises(TypeError, match="wasi: expected a WasiConfig, got {}"):
        store.set_wasi({})


def test_wasi_is_not_set_while_a_call_runs(wasi_module):
    engine, _, _ = wasi_module
    store = WasmStore(engine, wasi=WasiConfig())
    text = '(module (import "" "h" (func $h)) (func (export "f") (call $h)))'
    host = {"": {"h": lambda: store.set_wasi(WasiConfig())}}
    instance = WasmInstance(store, WasmModule(engine, text), host)
    with pytest.raises(StoreBusyError, match="set_wasi: a call is running in store"):
        instance.exports.f()


def test_wasi_functions_are_items_of_their_store(wasi_module):
    engine, linker, module = wasi_module
    store, pieces = WasmStore(engine), []
    store.set_wasi(WasiConfig(stdout=pieces.append))
    names = [(entry.module, entry.name) for entry in module.imports]
    items = [linker.get(store, *name) for name in names]
    say(WasmInstance(store, module, items).exports, "by hand")
    assert pieces == [b"by hand"]
