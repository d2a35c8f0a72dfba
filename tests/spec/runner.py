"""Runs converted scripts of the WebAssembly specification through the public API of wasmtime_rt.

A script is a list of commands that share one store. `ScriptRunner` has one method for each kind of command,
called ``do_`` and the kind; it returns where the command went as the script says, and raises where not.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from meanings import is_invalid, is_link_failure, is_malformed, is_trap
from spectest import SpecTest
from values import argument, matches, shown, shown_result

from wasmtime_rt import (
    CompileError,
    LinkError,
    WasmEngine,
    WasmException,
    WasmFunc,
    WasmGlobal,
    WasmInstance,
    WasmModule,
    WasmSharedMemory,
    WasmStore,
    WasmTrap,
    WasmValue,
)

Command = dict[str, Any]
Source = bytes | str

#: Seconds that a thread of a script may take.
_PATIENCE = 60


class CheckFailed(Exception):
    """A command did not go as its script says."""


class Failure(NamedTuple):
    """A command that did not go as its script says; as text, what follows a script's name and a colon."""

    line: int
    command: str
    reason: str

    def __str__(self) -> str:
        reason = " ".join(self.reason.split())
        return f"{self.line}: {self.command}: {reason if len(reason) <= 400 else reason[:397] + '...'}"


@dataclass
class Report:
    """How a script went.

    Attributes:
        assertions: How many it makes.
        passed: How many of them hold.
        failures: What failed: assertions, and the commands between them.
    """

    assertions: int = 0
    passed: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Count what ``other`` counts, too."""
        self.assertions += other.assertions
        self.passed += other.passed
        self.failures += other.failures


def run_script(engine: WasmEngine, converted: Path) -> Report:
    """Run the script whose JSON is ``converted``, in a store of its own."""
    commands = json.loads(converted.read_text(encoding="utf-8"))["commands"]
    with WasmStore(engine) as store:
        runner = ScriptRunner(store, converted.parent)
        runner.run(commands)
        return runner.report


class ScriptRunner:
    """What a script has made so far, and how it went.

    Attributes:
        report: How it went.
        spectest: The host module.
    """

    def __init__(self, store: WasmStore, folder: Path) -> None:
        self.report = Report()
        self.spectest = SpecTest(store)
        self._store, self._folder = store, folder
        self._definitions: dict[str | None, WasmModule] = {}  # None is the latest, here and below
        self._instances: dict[str | None, Mapping[str, Any]] = {}  # their exports
        self._registered: dict[str, Mapping[str, Any]] = {"spectest": self.spectest}
        self._threads: dict[str, tuple[threading.Thread, ScriptRunner]] = {}

    def run(self, commands: list[Command]) -> None:
        """Run all of the commands, whatever happens to each, and wait for the threads that they start."""
        for command in commands:
            self._step(command)
        for name in list(self._threads):
            self._step({"type": "wait", "line": 0, "thread": name})

    def _step(self, command: Command) -> None:
        kind = command["type"]
        is_assertion = kind.startswith("assert_")
        self.report.assertions += is_assertion
        try:
            do = getattr(self, f"do_{kind}", None)
            if do is None:
                raise CheckFailed("this runner does not know such a command")
            do(command)
        except CheckFailed as problem:
            self.report.failures.append(Failure(command["line"], kind, str(problem)))
        except Exception as problem:
            reason = f"{type(problem).__name__}: {problem}"
            self.report.failures.append(Failure(command["line"], kind, reason))
        else:
            self.report.passed += is_assertion

    # ---- Modules and instances

    def do_module(self, command: Command) -> None:
        """Define a module, and make an instance of it, the latest of both."""
        name = command.get("name")
        self._forget_instance(name)  # a failure must not leave its forerunner to be tested in its place
        self._definitions[None] = self._definitions[name] = module = self._compiled(command)
        self._instances[None] = self._instances[name] = self._instantiated(module)

    def do_module_definition(self, command: Command) -> None:
        """Define a module."""
        self._definitions[None] = self._definitions[command.get("name")] = self._compiled(command)

    def do_module_instance(self, command: Command) -> None:
        """Make an instance of a module defined before, the latest instance."""
        name = command.get("instance")
        self._forget_instance(name)
        module = _found(self._definitions, command.get("module"), "module")
        self._instances[None] = self._instances[name] = self._instantiated(module)

    def do_register(self, command: Command) -> None:
        """Let later modules import from an instance."""
        self._registered[command["as"]] = _found(self._instances, command.get("name"), "instance")

    def _forget_instance(self, name: str | None) -> None:
        self._instances.pop(None, None)
        self._instances.pop(name, None)

    def _source(self, command: Command) -> Source:
        data: bytes = (self._folder / command["filename"]).read_bytes()
        if command["module_type"] == "text":
            with contextlib.suppress(UnicodeDecodeError):  # some are malformed in just that way
                return data.decode()
        return data

    def _compiled(self, command: Command) -> WasmModule:
        return WasmModule(self._store.engine, self._source(command))

    def _instantiated(self, module: WasmModule) -> Mapping[str, Any]:
        return WasmInstance(self._store, module, self._registered).exports

    # ---- Actions

    def do_action(self, command: Command) -> None:
        """Perform an action, whatever its results."""
        self._performed(command)

    def do_assert_return(self, command: Command) -> None:
        """The action has these results."""
        results, expected = self._performed(command), command["expected"]
        if len(results) != len(expected):
            raise CheckFailed(f"expected {len(expected)} results, got {len(results)}")
        for i, (result, const) in enumerate(zip(results, expected, strict=True)):
            if not matches(const, result):
                raise CheckFailed(f"result {i}: expected {shown(const)}, got {shown_result(result)}")

    def do_assert_trap(self, command: Command) -> None:
        """The action traps, for this reason."""
        text = command["text"]
        try:
            results = self._performed(command)
        except WasmTrap as trap:
            _check_trap(trap, text)
        else:
            raise CheckFailed(f"expected the trap {text!r}, got {_all_shown(results)}")

    do_assert_exhaustion = do_assert_trap
    """The action exhausts the stack."""

    def do_assert_exception(self, command: Command) -> None:
        """The action throws an exception that nothing catches."""
        try:
            results = self._performed(command)
        except WasmException:
            return
        raise CheckFailed(f"expected an exception, got {_all_shown(results)}")

    def do_assert_suspension(self, command: Command) -> None:
        """The action suspends, and nothing handles it."""
        self.do_assert_trap({**command, "text": "unhandled tag"})

    def _performed(self, command: Command) -> tuple[WasmValue[Any], ...]:
        action = command["action"]
        exports = _found(self._instances, action.get("module"), "instance")
        found = exports[action["field"]]
        if action["type"] == "get":
            if not isinstance(found, WasmGlobal):
                raise CheckFailed(f"expected {action['field']!r} to be a global, got {found!r}")
            return (found.get_value(),)
        if action["type"] != "invoke":
            raise CheckFailed(f"this runner does not know the action {action['type']!r}")
        if not isinstance(found, WasmFunc):
            raise CheckFailed(f"expected {action['field']!r} to be a function, got {found!r}")
        return found.call_values(*map(argument, action["args"]))

    # ---- Modules that are refused

    def do_assert_invalid(self, command: Command) -> None:
        """The module is not valid, for this reason."""
        text = command["text"]
        for problem in self._refusals(command):
            if not is_invalid(problem, text):
                raise CheckFailed(f"expected {text!r}, got {problem}")

    def do_assert_malformed(self, command: Command) -> None:
        """The module cannot be decoded or parsed."""
        for problem in self._refusals(command):
            if not is_malformed(problem, binary=command["module_type"] == "binary"):
                raise CheckFailed(f"expected {command['text']!r}, got {problem}")

    do_assert_invalid_custom = do_assert_invalid
    """The module has an annotation or a custom section that is not valid."""
    do_assert_malformed_custom = do_assert_malformed
    """The module has an annotation or a custom section that cannot be decoded or parsed."""

    def _refusals(self, command: Command) -> list[CompileError]:
        """What is said of a bad module when it is compiled, and when it is only validated."""
        source, loads = self._source(command), (WasmModule, WasmModule.validate)
        problems = [_refusal(load, self._store.engine, source) for load in loads]
        if None in problems:
            raise CheckFailed(f"expected {command['text']!r}; the module is accepted")
        return [problem for problem in problems if problem is not None]

    def do_assert_unlinkable(self, command: Command) -> None:
        """The module is valid, and its imports are refused, for this reason."""
        module, text = self._compiled(command), command["text"]
        try:
            self._instantiated(module)
        except LinkError as problem:
            if not is_link_failure(problem, text):
                raise CheckFailed(f"expected {text!r}, got {problem}") from None
        else:
            raise CheckFailed(f"expected the imports to be refused, {text!r}; they are accepted")

    def do_assert_uninstantiable(self, command: Command) -> None:
        """The module is valid and can be linked, and traps when it is instantiated, for this reason."""
        module, text = self._compiled(command), command["text"]
        try:
            self._instantiated(module)
        except WasmTrap as trap:
            _check_trap(trap, text)
        else:
            raise CheckFailed(f"expected the trap {text!r}, got an instance")

    # ---- Threads

    def do_thread(self, command: Command) -> None:
        """Start a thread with commands and a store of its own; an instance may lend it shared memories."""
        store = WasmStore(self._store.engine)
        child = ScriptRunner(store, self._folder)
        shared = command.get("shared_module")
        if shared is not None:
            exports = _found(self._instances, shared, "instance")
            child._instances[shared] = {
                name: item for name, item in exports.items() if isinstance(item, WasmSharedMemory)
            }

        def run() -> None:
            with store:
                child.run(command["commands"])

        thread = threading.Thread(target=run, daemon=True)
        self._threads[command["name"]] = thread, child
        thread.start()

    def do_wait(self, command: Command) -> None:
        """Wait for a thread to end, and count what it asserted."""
        thread, child = _found(self._threads, command["thread"], "thread")
        del self._threads[command["thread"]]
        thread.join(_PATIENCE)
        if thread.is_alive():
            raise CheckFailed(f"thread {command['thread']!r} did not end within {_PATIENCE} seconds")
        self.report.add(child.report)


def _found(among: Mapping[Any, Any], name: str | None, what: str) -> Any:
    """The item called ``name``, or the latest."""
    try:
        return among[name]
    except KeyError:
        wanted = f"no {what} is there" if name is None else f"no {what} is called {name!r}"
        raise CheckFailed(wanted) from None


def _refusal(
    load: Callable[[WasmEngine, Source], Any], engine: WasmEngine, source: Source
) -> CompileError | None:
    try:
        load(engine, source)
    except CompileError as problem:
        return problem
    return None


def _check_trap(trap: WasmTrap, text: str) -> None:
    if not is_trap(trap, text):
        raise CheckFailed(f"expected the trap {text!r}, got {trap.code!r}: {trap}")


def _all_shown(results: tuple[WasmValue[Any], ...]) -> str:
    return " ".join(map(shown_result, results)) or "no results"
