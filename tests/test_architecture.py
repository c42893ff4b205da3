"""The house: which file may import which. Every import of every file is read, those inside functions too."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = {
    "tasks": 0,
    "models": 1,
    "probes": 2,
    "rl_finetune": 2,
    "analysis": 3,
    "figures": 4,
    "proclivity": 5,
}
BESIDE = {"tests", "benchmarks", "build", "dist"}
"""Folders with Python files that no floor may import from."""
LIGHT = {"tasks", "proclivity"}
"""Folders whose modules load nothing heavy when they are imported, themselves or through others."""
HEAVY = {
    *("torch", "transformers", "datasets", "trl", "accelerate", "tokenizers", "safetensors"),
    *("pandas", "pyarrow", "scipy", "sklearn", "statsmodels", "matplotlib", "ray"),
}


@dataclass(frozen=True)
class Import:
    """One name that a file imports."""

    target: str
    """`a.b.c`: a module, or a name in the module `a.b`."""
    line: int
    when_loaded: bool
    """False inside a function and under `if TYPE_CHECKING`: not run when the file is imported."""


def read_imports(source: str, module: str, is_package: bool) -> list[Import]:
    """Every import of a file: statements at any depth, and importlib.import_module of a literal name."""
    found = []
    for node, when_loaded in _walk(ast.parse(source), True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base] if base else parts)
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            argument = node.args[0]
            names = [str(argument.value)] if isinstance(argument, ast.Constant) else []
        else:
            continue
        found += [Import(name, node.lineno, when_loaded) for name in names]
    return found


def _walk(node: ast.AST, when_loaded: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, when_loaded
    if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        for statement in node.body:
            yield from _walk(statement, False)
        for statement in node.orelse:
            yield from _walk(statement, when_loaded)
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        when_loaded = False
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, when_loaded)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@dataclass(frozen=True)
class House:
    """The imports of every file of the floors, by module name (`a/b.py` and `a/b/__init__.py` are `a.b`)."""

    root: Path
    imports: dict[str, list[Import]]

    @classmethod
    def read(cls, root: Path) -> House:
        imports = {}
        for folder in FLOORS:
            for file in sorted((root / folder).rglob("*.py")):
                parts = file.relative_to(root).with_suffix("").parts
                is_package = parts[-1] == "__init__"
                module = ".".join(parts[:-1] if is_package else parts)
                imports[module] = read_imports(file.read_text(encoding="utf-8"), module, is_package)
        return cls(root, imports)

    def file(self, target: str) -> str | None:
        """The module whose file an imported name leads to: itself, or the module that it is a name of."""
        while target and target not in self.imports:
            target = target.rpartition(".")[0]
        return target or None

    def folders(self) -> list[str]:
        """Top-level folders out of step with the list of floors."""
        here = {
            folder.name
            for folder in self.root.iterdir()
            if folder.is_dir()
            and not folder.name.startswith(".")
            and not (folder / "pyvenv.cfg").exists()
            and any(folder.rglob("*.py"))
        }
        unlisted = [f"{name}/ holds Python files and is no floor" for name in here - set(FLOORS) - BESIDE]
        missing = [f"{name}/ has no __init__.py" for name in FLOORS if name not in self.imports]
        return sorted(unlisted + missing)

    def arrows(self) -> list[str]:
        """Imports that point up a floor, at a sibling, or out of the house."""
        wrong = []
        for module, imports in self.imports.items():
            own = module.split(".")[0]
            for i in imports:
                other = i.target.split(".")[0]
                if other in BESIDE:
                    wrong.append(f"{module}:{i.line} imports {other}, which is no floor")
                elif other in FLOORS and other != own and FLOORS[other] >= FLOORS[own]:
                    way = "beside" if FLOORS[other] == FLOORS[own] else "above"
                    wrong.append(f"{module}:{i.line} imports {i.target} from {way}")
        return wrong

    def circles(self) -> list[str]:
        """Each set of files that import one another, directly or around, as one sorted line."""
        edges = {m: {f for i in imports if (f := self.file(i.target))} for m, imports in self.imports.items()}
        reach = {module: _reachable(edges, module) for module in edges}
        return sorted(
            {" <-> ".join(sorted(n for n in reach[m] if m in reach[n])) for m in edges if m in reach[m]}
        )

    def _with_parents(self, *targets: str) -> set[str]:
        """The modules that importing these names runs: a module's packages run before it."""
        parts = [target.split(".") for target in targets]
        return {m for p in parts for k in range(len(p)) if (m := ".".join(p[: k + 1])) in self.imports}

    def heavy(self) -> list[str]:
        """Heavy libraries that importing a module of a light folder loads, and through which file."""
        loads = {
            module: self._with_parents(module, *(i.target for i in imports if i.when_loaded)) - {module}
            for module, imports in self.imports.items()
        }
        wrong = []
        for module in self.imports:
            if module.split(".")[0] in LIGHT:
                for loaded in sorted({module} | _reachable(loads, module)):
                    for i in self.imports[loaded]:
                        if i.when_loaded and i.target.split(".")[0] in HEAVY:
                            wrong.append(f"{module} loads {i.target.split('.')[0]} through {loaded}:{i.line}")
        return wrong


def _reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    """What can be reached from `start` in one step or more."""
    seen: set[str] = set()
    todo = list(edges[start])
    while todo:
        if (module := todo.pop()) not in seen:
            seen.add(module)
            todo += edges[module]
    return seen


HOUSE = House.read(ROOT)


def test_every_folder_with_python_files_is_on_the_list() -> None:
    assert HOUSE.folders() == []


def test_imports_point_down_and_never_to_a_sibling() -> None:
    assert HOUSE.arrows() == []


def test_no_circle_of_files() -> None:
    assert HOUSE.circles() == []


def test_light_modules_load_no_heavy_library() -> None:
    assert HOUSE.heavy() == []


def test_the_wheel_holds_the_floors_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    packed = settings["setuptools"]["packages"]["find"]["include"]
    assert sorted(packed) == sorted(p for name in FLOORS for p in (name, f"{name}.*"))
    assert set(settings["mypy"]["files"]) >= set(FLOORS)
    assert set(settings["ruff"]["lint"]["isort"]["known-first-party"]) == set(FLOORS)


@pytest.mark.parametrize("module", ["tasks", "analysis", "proclivity.cli", "proclivity.commands_store"])
def test_importing_it_loads_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("floor", ["analysis", "rl_finetune"])
def test_names_that_are_resolved_on_first_use_are_all_there(floor: str) -> None:
    package = import_module(floor)
    rooms = vars(package)["_ROOMS"]
    assert sorted(name for names in rooms.values() for name in names) == sorted(package.__all__)
    seen = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    typed = [
        a.name
        for node in ast.walk(seen)
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith(floor)
        for a in node.names
    ]
    assert sorted(typed) == sorted(package.__all__) == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert not hasattr(package, "nothing")


# The checker itself, on small houses that break one rule each.


def build(root: Path, files: dict[str, str]) -> House:
    """A house with every floor in place, and the given files."""
    for name, source in {**{f"{floor}/__init__.py": "" for floor in FLOORS}, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")
    return House.read(root)


def test_a_sound_house_passes(tmp_path: Path) -> None:
    house = build(
        tmp_path,
        {
            "tasks/__init__.py": "from tasks.feature import Feature\nfrom . import task",
            "tasks/feature.py": "def rows():\n    import datasets",
            "tasks/task.py": "from tasks.feature import Feature\nif TYPE_CHECKING:\n    import torch",
            "models/load.py": "import torch\nfrom tasks import Feature",
            "proclivity/cli.py": "import tasks\ndef probe():\n    from models.load import load",
            "tests/test_x.py": "import proclivity",
            "benchmarks/speed.py": "",
            "venv/pyvenv.cfg": "",
            "venv/lib/x.py": "",
            ".hidden/x.py": "",
            "notes/x.md": "",
        },
    )
    assert [house.folders(), house.arrows(), house.circles(), house.heavy()] == [[], [], [], []]


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("tasks/a.py", "import models.load", "tasks.a:1 imports models.load from above"),
        (
            "tasks/a.py",
            "def f():\n    from proclivity import cli",
            "tasks.a:2 imports proclivity.cli from above",
        ),
        ("models/a.py", "if TYPE_CHECKING:\n    import probes", "models.a:2 imports probes from above"),
        (
            "probes/deep/a.py",
            "from analysis.use import U",
            "probes.deep.a:1 imports analysis.use.U from above",
        ),
        ("probes/a.py", "import rl_finetune", "probes.a:1 imports rl_finetune from beside"),
        ("rl_finetune/a.py", "from probes import probe", "rl_finetune.a:1 imports probes.probe from beside"),
        (
            "figures/a.py",
            "importlib.import_module('proclivity.cli')",
            "figures.a:1 imports proclivity.cli from above",
        ),
        ("models/a.py", "__import__('analysis')", "models.a:1 imports analysis from above"),
        ("proclivity/a.py", "from tests import helper", "proclivity.a:1 imports tests, which is no floor"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, source: str, expected: str) -> None:
    assert build(tmp_path, {file: source}).arrows() == [expected]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"tasks/a.py": "import tasks.b", "tasks/b.py": "def f():\n    from tasks.a import x"},
            "tasks.a <-> tasks.b",
        ),
        ({"tasks/a.py": "from . import b", "tasks/b.py": "from .a import x"}, "tasks.a <-> tasks.b"),
        (
            {"tasks/__init__.py": "from tasks.a import x", "tasks/a.py": "from tasks import x"},
            "tasks <-> tasks.a",
        ),
        (
            {
                "tasks/a.py": "import tasks.b",
                "tasks/b.py": "import tasks.s.c",
                "tasks/s/c.py": "from ..a import x",
            },
            "tasks.a <-> tasks.b <-> tasks.s.c",
        ),
        (
            {"tasks/s/__init__.py": "from .c import x", "tasks/s/c.py": "from . import x"},
            "tasks.s <-> tasks.s.c",
        ),
    ],
)
def test_a_circle_is_found(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    assert build(tmp_path, files).circles() == [expected]


def test_a_folder_out_of_step_is_found(tmp_path: Path) -> None:
    house = build(tmp_path, {"utils/deep/helpers.py": ""})
    assert house.folders() == ["utils/ holds Python files and is no floor"]
    (tmp_path / "models" / "__init__.py").unlink()
    assert House.read(tmp_path).folders() == [
        "models/ has no __init__.py",
        "utils/ holds Python files and is no floor",
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proclivity/cli.py": "import torch.nn"}, ["proclivity.cli loads torch through proclivity.cli:1"]),
        (
            {"tasks/a.py": "try:\n    from datasets import D\nfinally: pass"},
            ["tasks.a loads datasets through tasks.a:2"],
        ),
        ({"tasks/a.py": "class A:\n    import pandas"}, ["tasks.a loads pandas through tasks.a:2"]),
        (
            {
                "models/__init__.py": "import torch",
                "models/names.py": "",
                "proclivity/a.py": "import models.names",
            },
            ["proclivity.a loads torch through models:1"],
        ),
        (
            {"tasks/s/__init__.py": "import transformers", "tasks/s/a.py": ""},
            [
                "tasks.s loads transformers through tasks.s:1",
                "tasks.s.a loads transformers through tasks.s:1",
            ],
        ),
    ],
)
def test_a_heavy_import_is_found(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    assert build(tmp_path, files).heavy() == expected
