"""The runner itself: it reports what fails, where, and why; and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import suite
from runner import Failure, Report, ScriptRunner, run_script
from spectest import SpecTest
from values import Unsupported, argument, host, matches

from wasmtime_rt import WasmEngine, WasmStore, WasmValue

HERE = Path(__file__).parent


@pytest.fixture
def store():
    return WasmStore(WasmEngine())


def test_failures_are_reported_where_they_are(failing_script, converter):
    lines = enumerate(failing_script.read_text(encoding="utf-8").splitlines(), 1)
    wanted = {number: line.partition(";; fails: ")[2] for number, line in lines if ";; fails: " in line}
    report = suite.run(failing_script, converter)
    got = {failure.line: failure.reason for failure in report.failures}
    assert sorted(got) == sorted(wanted)
    assert {line: got[line] for line, words in wanted.items() if words not in got[line]} == {}
    assert len(report.failures) == len(wanted)
    failed = sum(failure.command.startswith("assert_") for failure in report.failures)
    assert report.passed == report.assertions - failed


def test_unknown_commands_and_actions_fail(store, tmp_path):
    runner = ScriptRunner(store, tmp_path)
    (tmp_path / "m.wat").write_text('(module (func (export "f")))')
    runner.run(
        [
            {"type": "module", "line": 1, "filename": "m.wat", "module_type": "text"},
            {"type": "assert_wonder", "line": 2},
            {"type": "action", "line": 3, "action": {"type": "set", "field": "f"}},
            {"type": "module", "line": 4, "filename": "gone.wasm", "module_type": "binary"},
        ]
    )
    assert [failure[:2] for failure in runner.report.failures] == [
        (2, "assert_wonder"),
        (3, "action"),
        (4, "module"),
    ]
    assert (runner.report.passed, runner.report.assertions) == (0, 1)


def test_unknown_values_are_neither_passed_nor_equal():
    with pytest.raises(Unsupported):
        argument({"type": "i128", "value": "0"})
    with pytest.raises(Unsupported):
        matches({"type": "f32", "value": "nan:strange"}, WasmValue.f32(0))
    assert not matches({"type": "contref", "value": "null"}, WasmValue.externref(None))


def test_host_objects_are_told_apart():
    assert host(1) is host(1)
    assert host(1) is not host(2)
    assert not matches({"type": "externref", "value": "1"}, WasmValue.externref(1))


def test_what_is_printed_is_kept(store):
    module = SpecTest(store)
    module["print_i32_f32"](1, 2.5)
    module["print"]()
    assert module.printed == [(1, 2.5), ()]
    assert module["memory"] is module["memory"]
    assert len(module) == len(list(module)) == 15


def test_known_deviations_are_held_both_ways(tmp_path, monkeypatch):
    script = tmp_path / "custom" / "known.wast"
    monkeypatch.setitem(suite.DEVIATIONS, "custom/known.wast", {3: "because", 5: "because"})
    report = Report(failures=[Failure(3, "assert_return", "no"), Failure(4, "assert_return", "no")])
    assert [failure[:2] for failure in suite.surprises(script, report)] == [
        (4, "assert_return"),
        (5, "deviation"),
    ]
    assert suite.surprises(tmp_path / "known.wast", report) == report.failures


def test_what_is_no_script_fails(tmp_path, converter):
    script = tmp_path / "bad.wast"
    script.write_text("(module (assert_nothing))")
    report = suite.run(script, converter)
    assert [failure.command for failure in report.failures] == ["script"]
    assert "bad.wast:1" in report.failures[0].reason


def test_settings_go_by_folders(tmp_path):
    assert suite.settings_of(tmp_path / "a.wast") == {}
    assert suite.settings_of(tmp_path / "threads" / "a.wast") == {"shared_memory": True}
    assert suite.left_out(tmp_path / "threads" / "a.wast") is None
    assert "first design" in suite.left_out(tmp_path / "legacy" / "a.wast")
    assert "first design" in suite.left_out(tmp_path / "legacy" / "exceptions" / "core" / "a.wast")
    assert "wasm_reference_types" in suite.settings_of(tmp_path / "proposals" / "threads" / "a.wast")


def test_the_command_line_prints_a_table_and_fails(converter):
    ended = subprocess.run(
        [sys.executable, HERE / "run.py", suite.OWN / "passing" / "vectors.wast", suite.OWN / "failing"],
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert ended.returncode == 1, ended.stderr
    rows = {line.split()[0]: line for line in ended.stdout.splitlines() if " / " in line}
    assert rows.keys() == {"vectors.wast", "results.wast", "commands.wast", "threads/threads.wast"}
    assert "failed" in rows["results.wast"]
    assert "failed" not in rows["vectors.wast"]
    assert "commands.wast:12: assert_return: KeyError" in ended.stdout


def test_the_command_line_tells_where_no_scripts_are(tmp_path):
    for arguments, environment in (([tmp_path], {}), ([], {suite.VARIABLE: str(tmp_path)})):
        ended = subprocess.run(
            [sys.executable, HERE / "run.py", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        assert (ended.returncode, ended.stderr) == (1, f"no scripts in {tmp_path}\n")


def test_the_command_line_without_failures(converter):
    command = [sys.executable, HERE / "run.py", suite.OWN / "passing" / "vectors.wast"]
    ended = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "10 of 10 assertions hold" in ended.stdout


def test_a_script_runs_in_a_store_that_is_closed_afterwards(converter, tmp_path):
    converted = converter[suite.OWN / "failing" / "results.wast"]
    assert json.loads(converted.read_text())["commands"]
    engine = WasmEngine()
    assert run_script(engine, converted).assertions == run_script(engine, converted).assertions > 30
