"""The code that each step runs, as a hash beside the step's version: changed code must not reuse old artifacts unnoticed.

The hash is over the syntax trees, without comments, docstrings and decorators, of the step's function and of every function,
class and constant of `nomad_assets.recipe` and `nomad_assets.steps` that it reaches by name. Contracts and configs are left
out: a contract changes no content, and a config is part of the fingerprint itself.

    python -m nomad_assets_tests.steps.code_table                               what has changed
    python -m nomad_assets_tests.steps.code_table --write                       take over steps with a new version
    python -m nomad_assets_tests.steps.code_table --unchanged student_model "a variable was renamed"
"""

import argparse
import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from nomad_assets import plugins
from nomad_assets.engine.step import Config, Step
from nomad_assets.engine.tables import Table
from nomad_assets.profile.fields import Section
from nomad_assets.steps import GRAPH

TABLE = Path(__file__).with_suffix(".toml")
FOLLOWED = ("nomad_assets.recipe", "nomad_assets.steps")
DECLARED = (Table, Config, Section)


@dataclass(frozen=True)
class Symbol:
    module: str
    name: str


def code_digest(step: Step) -> str:
    """sha256 (16 hex digits) over everything that a step's function runs, and over the choice of rows that it declares."""
    start = [Symbol(step.body.__module__, step.body.__name__)]
    for read in step.inputs.values():
        start += [Symbol(v.rows.__module__, v.rows.__name__) for v in read.tables.values() if v.rows]
    seen: dict[Symbol, str] = {}
    queue = list(start)
    while queue:
        symbol = queue.pop()
        if symbol in seen:
            continue
        if (read := _read(symbol)) is None:
            continue
        seen[symbol], reached = read
        queue += reached
    parts = sorted(f"{symbol.name}\0{text}" for symbol, text in seen.items())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@functools.cache
def _read(symbol: Symbol) -> tuple[str, tuple[Symbol, ...]] | None:
    """The bare text of a symbol and what it reaches; None where its module does not define it."""
    node = _index(symbol.module).get(symbol.name)
    return None if node is None else (ast.unparse(_bare(node)), tuple(_reached(symbol.module, node)))


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


@functools.cache
def _index(module: str) -> dict[str, ast.AST]:
    """What a module defines at its top level, by name."""
    found: dict[str, ast.AST] = {}
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found[name.id] = node
    return found


def _imports(node: ast.AST) -> dict[str, Symbol | str]:
    """Name -> the symbol, or the module, that an import inside a node brings."""
    found: dict[str, Symbol | str] = {}
    for child in ast.walk(node):
        if isinstance(child, ast.ImportFrom) and child.module and child.module.startswith(FOLLOWED):
            for alias in child.names:
                whole = f"{child.module}.{alias.name}"
                module = importlib.util.find_spec(whole) if _is_package(child.module) else None
                found[alias.asname or alias.name] = whole if module else Symbol(child.module, alias.name)
    return found


@functools.cache
def _is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@functools.cache
def _module_imports(module: str) -> dict[str, Symbol | str]:
    top = ast.Module([n for n in _tree(module).body if not isinstance(n, ast.FunctionDef | ast.ClassDef)], [])
    return _imports(top)


def _reached(module: str, node: ast.AST) -> list[Symbol]:
    names = {**_module_imports(module), **_imports(node)}
    found, bases = [], {child.value for child in ast.walk(node) if isinstance(child, ast.Attribute)}
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func) == "plugins.built_in":
            found += _built_in(ast.literal_eval(child.args[0]))
        elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            of = names.get(child.value.id)
            if isinstance(of, str):
                found.append(Symbol(of, child.attr))
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
            symbol = names.get(child.id, Symbol(module, child.id))
            if isinstance(symbol, Symbol):
                found.append(symbol)
            elif child not in bases:  # a module as a value: anything in it may run
                found += [Symbol(symbol, name) for name in _index(symbol)]
    return [symbol for symbol in found if not _is_declaration(symbol)]


def _built_in(kind: str) -> list[Symbol]:
    """The rules, scorers or engines that come with the package: found by name when a step runs."""
    home = plugins.HOMES[kind]
    names = plugins.built_in_names(kind)
    return [Symbol(f"{home.package}.{name}{home.ending}", home.attribute) for name in names]


def _is_declaration(symbol: Symbol) -> bool:
    value = getattr(importlib.import_module(symbol.module), symbol.name, None)
    return isinstance(value, Step) or (isinstance(value, type) and issubclass(value, DECLARED))


class _Bare(ast.NodeTransformer):
    """Without docstrings and decorators."""

    def _strip(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = [d for d in node.decorator_list if not isinstance(d, ast.Call)]
        return node

    visit_FunctionDef = visit_ClassDef = _strip


def _bare(node: ast.AST) -> ast.AST:
    return _Bare().visit(ast.parse(ast.unparse(node)).body[0])


def read_table() -> dict[str, dict]:
    return tomlkit.parse(TABLE.read_text(encoding="utf-8")).unwrap() if TABLE.is_file() else {}


def differences(table: dict[str, dict]) -> dict[str, str]:
    """Step -> what is wrong with its row."""
    found = {}
    for step in GRAPH.values():
        row, code = table.get(step.name), code_digest(step)
        if row is None:
            found[step.name] = "is new; take it over with --write"
        elif row["code"] != code and row["version"] == step.version:
            found[step.name] = (
                f"runs other code than its version {step.version!r} did; raise the version where the step is declared and "
                'call --write, or say --unchanged STEP "why" where it makes the same content'
            )
        elif (row["code"], row["version"]) != (code, step.version):
            found[step.name] = f"has version {step.version!r} now; take it over with --write"
    return found | {name: "is gone; take it over with --write" for name in table if name not in GRAPH}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--unchanged", nargs=2, action="append", default=[], metavar=("STEP", "WHY"))
    asked = parser.parse_args()
    table, unchanged = read_table(), dict(asked.unchanged)
    rows = tomlkit.document()
    rows.add(tomlkit.comment("Written by python -m nomad_assets_tests.steps.code_table; its docstring says when."))
    refused = []
    for step in GRAPH.values():
        before, code = table.get(step.name), code_digest(step)
        row = before or {}
        if before is None or before["version"] != step.version:
            row = {"version": step.version, "code": code}
        elif before["code"] != code and step.name in unchanged:
            row = {"version": step.version, "code": code, "unchanged": unchanged[step.name]}
        elif before["code"] != code:
            refused.append(step.name)
        rows.add(step.name, row)
    if asked.write or unchanged:
        TABLE.write_text(tomlkit.dumps(rows), encoding="utf-8")
    for name, text in differences(read_table()).items():
        print(f"{name} {text}")
    return 1 if differences(read_table()) else 0


if __name__ == "__main__":
    sys.exit(main())
