"""Host files: which kinds are opened, how much is read, and which links are not followed."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from wasmtime_rt import LimitError
from wasmtime_rt._host_files import open_folder, open_input, open_output, read_file


@contextlib.contextmanager
def closing(opened):
    try:
        yield opened
    finally:
        os.close(opened)


def content(opened):
    with closing(opened):
        return os.read(opened, 100)


@pytest.fixture
def no_leak():
    """The test must leave as many descriptors as there were."""
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


pytestmark = pytest.mark.usefixtures("no_leak")


@pytest.fixture
def tree(tmp_path):
    """A folder ``out`` that a guest may write, in which it left links to ``secret`` and to its folder."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "out" / "own").write_bytes(b"own")
    (tmp_path / "out" / "file").symlink_to("../secret")
    (tmp_path / "out" / "absolute").symlink_to(tmp_path / "secret")
    (tmp_path / "out" / "folder").symlink_to("..")
    (tmp_path / "out" / "dangling").symlink_to("../made")
    (tmp_path / "out" / "deep" / "inside").symlink_to("../own")
    (tmp_path / "alias").symlink_to("out")
    (tmp_path / "far").symlink_to("alias/deep/../own")
    return tmp_path


# ---- Kinds


def test_regular_files_and_null_are_opened(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    for given in (path, str(path), os.fsencode(path)):
        assert content(open_input(given, "stdin")) == b"content"
    assert content(open_input("/dev/null", "stdin")) == b""
    for null in ("/dev/null", Path("/dev/null")):
        with closing(open_output(null, "stdout")) as opened:
            os.write(opened, b"x")
    (tmp_path / "null").symlink_to("/dev/null")
    assert content(open_input(tmp_path / "null", "stdin")) == b""
    assert read_file("/dev/null", "program") == b""


@pytest.mark.parametrize("below", [False, True], ids=["nothing writable", "below a writable folder"])
@pytest.mark.parametrize("opens", [open_input, open_output])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "terminal", "link to a pipe"])
def test_other_kinds_are_refused(tmp_path, monkeypatch, opens, kind, below):
    path, held = tmp_path / kind, []
    if kind in {"pipe", "link to a pipe"}:
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        held = [socket.socket(socket.AF_UNIX)]
        held[0].bind(kind)
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        master, slave = os.openpty()
        path = Path(os.ttyname(slave))
        os.close(slave)
    if kind == "link to a pipe":
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    (tmp_path / "writable").mkdir()
    try:
        with pytest.raises(
            ValueError, match=r"^stream: expected a regular file or /dev/null, got the .* pass the file$"
        ):
            opens(path, "stream", [tmp_path / "writable"] if below else ())
    finally:
        for one in held:
            one.close()
        if kind == "terminal":
            os.close(master)


@pytest.mark.parametrize("below", [False, True])
def test_folders_are_not_files(tmp_path, below):
    below = [tmp_path] if below else []
    for path in (tmp_path, f"{tmp_path}/"):
        with pytest.raises(IsADirectoryError):
            open_input(path, "stdin", below)
        with pytest.raises(IsADirectoryError):
            open_output(path, "stdout", below)


def test_what_is_missing_or_not_a_path_is_refused(tmp_path):
    for below in ((), [tmp_path]):
        for path in (tmp_path / "missing", tmp_path / "no" / "file", ""):
            with pytest.raises(FileNotFoundError):
                open_input(path, "stdin", below)
        with pytest.raises(FileNotFoundError):
            open_output(tmp_path / "no" / "file", "stdout", below)
        with pytest.raises(FileNotFoundError):
            open_folder(tmp_path / "no", below)
        with pytest.raises(ValueError, match="null"):
            open_input("a\0b", "stdin", below)
        for opens in (open_input, open_output):
            with pytest.raises(TypeError):
                opens(3, "stdin", below)


def test_an_output_is_made_empty_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a long line")
    path.chmod(0o640)
    with closing(open_output(path, "stdout")) as opened:
        os.write(opened, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_descriptors_are_not_inherited_and_do_not_wait(tmp_path):
    path = tmp_path / "file"
    with closing(open_output(path, "stdout")) as output, closing(open_input(path, "stdin")) as source:
        with closing(open_folder(tmp_path)) as folder:
            assert not any(os.get_inheritable(one) for one in (output, source, folder))
            assert not os.get_blocking(output)
            assert not os.get_blocking(source)


# ---- Sizes


def test_reading_ends_at_the_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_file(path, "program", 1000) == b"x" * 1000
    with pytest.raises(LimitError, match="has 1000 bytes, allowed are 999") as caught:
        read_file(path, "program", 999)
    assert caught.value.limit == "module_size"
    path.write_bytes(b"")
    assert read_file(path, "program", 0) == b""


def test_a_sparse_file_is_refused_by_its_size(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitError, match="allowed are 1073741824"):
        read_file(path, "program")


def test_a_file_that_grows_while_it_is_read_ends_at_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    read = os.read

    def read_and_grow(opened, size):
        with path.open("ab") as file:
            file.write(b"x" * 5000)
        return read(opened, size)

    monkeypatch.setattr(os, "read", read_and_grow)
    with pytest.raises(LimitError, match="has more than 4000 bytes"):
        read_file(path, "program", 4000)


def test_files_without_a_size_are_read_to_the_limit():
    assert read_file("/proc/self/stat", "program").startswith(b"%d " % os.getpid())
    with pytest.raises(LimitError, match="has more than 5 bytes"):
        read_file("/proc/self/stat", "program", 5)


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="needs a file that waits: /proc/kmsg")
def test_a_regular_file_that_waits_does_not_hang():
    with contextlib.suppress(OSError):
        read_file("/proc/kmsg", "program", 1 << 20)


# ---- Links below folders that a program may write


@pytest.mark.parametrize(
    "name",
    ["out/file", "out/absolute", "out/dangling", "out/folder/secret", "out/deep/../file", "alias/file",
     "out/./file", "out//file", "out/deep/inside", "out/folder/made", "out/../out/file"],
)  # fmt: skip
def test_links_below_a_writable_folder_are_not_followed(tree, monkeypatch, name):
    for below in (
        [tree / "out"],
        [tree / "alias"],
        [tree / "out", "/proc"],
        [tree / "out" / "deep", tree / "out"],
    ):
        for path in (tree / name, name, f"{tree.name}/./{name}"):
            monkeypatch.chdir(tree.parent if str(path).startswith(f"{tree.name}/") else tree)
            with pytest.raises(OSError, match="below '.*', which the program may write") as caught:
                open_output(path, "stdout", below)
            assert caught.value.filename
            with pytest.raises(OSError, match="below '.*', which the program may write"):
                open_input(path, "stdin", below)
    assert (tree / "secret").read_bytes() == b"secret"
    assert not (tree / "made").exists()


def test_links_are_not_followed_from_a_working_folder_below(tree, monkeypatch):
    monkeypatch.chdir(tree / "out" / "deep")
    for path in ("inside", "../file", "./../deep/inside"):
        with pytest.raises(OSError, match="which the program may write"):
            open_output(path, "stdout", [tree / "out"])
    assert content(open_input("../own", "stdin", [tree / "out"])) == b"own"
    assert content(open_input("../../secret", "stdin", [tree / "out"])) == b"secret"


def test_links_elsewhere_are_followed(tree):
    for path in ("alias/own", "far", "out/own", "out/deep/../own", "out/../out/own", "alias/../secret"):
        assert content(open_input(tree / path, "stdin", [tree / "out"])) in {b"own", b"secret"}
        assert content(open_input(tree / path, "stdin")) in {b"own", b"secret"}
    with closing(open_output(tree / "alias" / "new", "stdout", [tree / "out"])):
        pass
    assert (tree / "out" / "new").exists()
    (tree / "dangling").symlink_to("created")
    with closing(open_output(tree / "dangling", "stdout", [tree / "out"])):
        pass
    assert (tree / "created").exists()


def test_nothing_is_refused_if_nothing_is_writable(tree):
    assert content(open_input(tree / "out" / "file", "stdin")) == b"secret"
    assert content(open_input(tree / "out" / "file", "stdin", [tree / "out" / "deep"])) == b"secret"


def test_folders_are_opened_without_links_below_writable_ones(tree):
    secret = tree / "private"
    secret.mkdir()
    (tree / "out" / "sub").symlink_to(secret)
    (tree / "out" / "deep" / "up").symlink_to("../..")
    for path in ("out/sub", "alias/sub", "out/deep/up", "out/deep/up/private", "out/sub/"):
        with pytest.raises(OSError, match="which the program may write"):
            open_folder(tree / path, [tree / "out"])
    for path in ("out", "alias", "out/deep", "out/", "out/deep/..", "private", "."):
        with closing(open_folder(tree / path, [tree / "out"])) as opened:
            assert os.path.samestat(os.fstat(opened), os.stat(tree / path))
    with pytest.raises(NotADirectoryError):
        open_folder(tree / "secret", [tree / "out"])
    with closing(open_folder("/", ["/"])) as opened:
        assert os.path.samestat(os.fstat(opened), os.stat("/"))


def test_open_files_are_reached_by_their_numbers(tree):
    below = [tree / "out"]
    with open(tree / "secret", "rb") as file, closing(os.open(tree / "out" / "deep", os.O_RDONLY)) as folder:
        assert content(open_input(f"/proc/self/fd/{file.fileno()}", "stdin", below)) == b"secret"
        assert content(open_input(f"/dev/fd/{file.fileno()}", "stdin", below)) == b"secret"
        with pytest.raises(OSError, match="which the program may write"):
            open_input(f"/proc/self/fd/{folder}/inside", "stdin", below)
        with pytest.raises(OSError, match="which the program may write"):
            open_input(f"/proc/self/fd/{folder}/../file", "stdin", below)


def test_an_output_below_a_writable_folder_has_one_name(tree):
    os.link(tree / "secret", tree / "out" / "hard")
    with pytest.raises(PermissionError, match="second name"):
        open_output(tree / "out" / "hard", "stdout", [tree / "out"])
    assert (tree / "secret").read_bytes() == b"secret"
    for below in ((), [tree / "out" / "deep"]):
        with closing(open_output(tree / "out" / "hard", "stdout", below)):
            pass
    assert (tree / "secret").read_bytes() == b""


def test_very_long_paths_are_refused(tree):
    for path in ("a" * 300, "/".join(["a"] * 5000), "./" * 10**6 + "out/own"):
        for below in ((), [tree / "out"]):
            with pytest.raises(OSError, match="File name too long"):
                open_input(path, "stdin", below)


def test_loops_and_long_chains_end(tree):
    (tree / "loop").symlink_to("loop")
    (tree / "long").symlink_to("/".join(["."] * 1000) + "/long/x")
    for name in ("loop", "long", "loop/x"):
        with pytest.raises(OSError, match="symbolic links"):
            open_input(tree / name, "stdin", [tree / "out"])


@pytest.mark.parametrize("opens", [open_output, open_input])
@pytest.mark.parametrize("looks", [1, 2])
def test_a_link_that_appears_between_look_and_open_is_not_followed(tree, monkeypatch, opens, looks):
    path, look, left = tree / "out" / "log", os.stat, [looks]
    path.write_bytes(b"")

    def swap(name, **options):
        status = look(name, **options)
        left[0] -= name == "log"
        if name == "log" and not left[0]:
            path.unlink()
            path.symlink_to("../secret")
        return status

    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises(OSError, match="symbolic links"):
        opens(path, "stdout", [tree / "out"])
    assert left[0] <= 0
    assert (tree / "secret").read_bytes() == b"secret"


def test_a_pipe_that_appears_between_look_and_open_is_refused(tmp_path, monkeypatch):
    path, looked = tmp_path / "log", os.stat
    path.write_bytes(b"")

    def swap(name, **options):
        status = looked(name, **options)
        path.unlink()
        os.mkfifo(path)
        return status

    monkeypatch.setattr(os, "stat", swap)
    with pytest.raises(ValueError, match="the pipe"):
        open_input(path, "stdin")
