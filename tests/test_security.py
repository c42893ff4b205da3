"""What no file of the packages may do, and what a file from anywhere cannot make them do."""

from __future__ import annotations

import ast
import json
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile

from proclivity.commands_store import gc
from proclivity.manifest import describe, write_manifest
from proclivity.plan import open_store
from proclivity.remote import sync
from proclivity.store import job_key
from proclivity.strict import Document, Plain
from proclivity.study import load_study, study_from
from tasks.errors import UserError

ROOT = Path(__file__).parent.parent
FLOORS = ("tasks", "models", "probes", "rl_finetune", "analysis", "figures", "proclivity")

MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),  # reading is executing
    *("subprocess", "pty", "commands"),
    *("code", "codeop", "runpy"),
    *("tarfile", "zipfile"),  # names in archives can lead out of a folder
    *("xml", "xmlrpc", "telnetlib", "ftplib"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.spawnv"),
    *("torch.load", "pandas.read_pickle", "pd.read_pickle", "numpy.load", "np.load"),
    *("shutil.unpack_archive", "torch.hub.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
    *("spec_from_file_location", "importlib.util.spec_from_file_location", "exec_module"),
}
OPTIONS = {("shell", True), ("trust_remote_code", True), ("weights_only", False), ("allow_pickle", True)}
ALLOWED = {
    ("proclivity/strict.py", "yaml.load"): "its loader is a SafeLoader",
    ("proclivity/launch.py", "subprocess"): "accelerate's launcher, with a list of arguments and no shell",
    ("tasks/registry.py", "importlib.util.spec_from_file_location"): "--include runs a file that was named",
    ("tasks/registry.py", "spec.loader.exec_module"): "the same",
}


def uses(source: str) -> Iterator[str]:
    """What of the lists above a file uses."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from [str(node.module)] * (str(node.module).partition(".")[0] in MODULES)
            names = {f"{node.module}.{name.name}" for name in node.names}
            yield from sorted(names & CALLS)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS or called.rpartition(".")[2] in {"exec_module", "unpack_archive"}:
                yield called
            told = {(k.arg, k.value.value) for k in node.keywords if isinstance(k.value, ast.Constant)}
            yield from (f"{name}={value}" for name, value in sorted(told & OPTIONS, key=str))


def test_nothing_is_executed_that_was_read() -> None:
    found = {
        (str(path.relative_to(ROOT)), use)
        for floor in FLOORS
        for path in sorted((ROOT / floor).rglob("*.py"))
        for use in uses(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)  # what is no longer used is taken off the list


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from subprocess import run",
        "from torch import load as read",
        "eval('1')",
        "x = torch.load(path)",
        "run(command, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "spec.loader.exec_module(module)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
    ],
)
def test_the_search_sees(line: str) -> None:
    assert list(uses(line))


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:os.system ['touch {mark}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!include other.yaml",
    ],
)
def test_a_tag_in_a_study_is_one_line_and_no_call(value: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: x\nquestion: " + value.format(mark=tmp_path / "executed") + "\n")
    with pytest.raises(
        UserError, match=r"study\.yaml line 2: not YAML \(could not determine a constructor"
    ) as told:
        Document(path)
    assert "\n" not in str(told.value) and not (tmp_path / "executed").exists()


SHIPPED = "cruz2023-smoke"


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "..", ".", "", "a/b", "a\\b", "a\0b", "a\nb", "~", "-rf"]
)
def test_a_study_s_name_is_the_name_of_a_folder(name: str) -> None:
    """It names the folder that `study run` writes to, and the files that quote it."""
    study, _ = load_study(SHIPPED)
    definition = {**study.definition(), "name": name}
    with pytest.raises(UserError, match="make a name"):
        study_from(definition, Plain("study.json", definition).name)


def test_a_study_file_names_no_code_and_no_other_file(tmp_path: Path) -> None:
    shipped = (ROOT / "proclivity" / "studies" / f"{SHIPPED}.yaml").read_text()
    for key in ("include", "files", "out", "extends"):
        path = tmp_path / "study.yaml"
        path.write_text(f"{shipped}\n{key}: [../../evil.py]\n")
        with pytest.raises(UserError, match=f"unknown key '{key}'"):
            load_study(str(path))


def test_a_store_s_folders_are_named_by_keys_alone(tmp_path: Path) -> None:
    """What is in `runs/` under another name is neither read, nor moved, nor followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "record.json").write_text("{}")
    store = open_store(tmp_path / "study")
    for below in ("runs", "partial", "scratch"):
        (store.folder / below).mkdir(parents=True)
        os.symlink(outside, store.folder / below / "link")
        (store.folder / below / "..x").mkdir()
    store.sweep([])
    assert (outside / "record.json").exists()
    key = job_key({"model": "../../x"}, {})
    assert len(key) == 16 and int(key, 16) >= 0


@pytest.mark.parametrize("below", ["partial", "scratch"])
def test_a_link_in_place_of_a_folder_costs_nothing_outside(below: str, tmp_path: Path) -> None:
    outside, key = tmp_path / "outside", "0" * 16
    outside.mkdir()
    (outside / "mine").touch()
    store = open_store(tmp_path / "study")
    (store.folder / below).mkdir(parents=True)
    os.symlink(outside, store.folder / below / key)
    store.sweep([])
    assert (outside / "mine").exists()


@pytest.mark.parametrize("name", ["superseded", "corrupt", "partial", "scratch", ".leases"])
def test_gc_follows_no_link_out_of_a_study(name: str, tmp_path: Path) -> None:
    """A folder from anywhere may hold any links, and gc removes what is behind these names."""
    folder, outside = tmp_path / "study", tmp_path / "outside"
    folder.mkdir()
    (outside / "mine").mkdir(parents=True)
    (outside / "mine" / "file").touch()
    study, _ = load_study(SHIPPED)
    write_manifest(folder, describe(study.definition(), ""))
    os.symlink(outside, folder / name)
    with pytest.raises(UserError, match="is a link"):
        gc(Namespace(folder=str(folder), dry_run=False))
    assert (outside / "mine" / "file").exists()


@pytest.mark.parametrize(
    "escaping",
    ["../../../escaped", "a/../../../../escaped", "{tmp}/escaped", "a//{tmp}/escaped", "./escaped"],
)
def test_names_of_objects_lead_out_of_no_folder(escaping: str, tmp_path: Path) -> None:
    """What an object store holds may be called anything; a copy of it stays where it was asked for."""
    import fsspec

    escaping = escaping.format(tmp=tmp_path)  # after runs/KEY/, with two slashes: from the root
    study, _ = load_study(SHIPPED)
    far, key = fsspec.filesystem("memory"), "0" * 16
    manifest = json.dumps(describe(study.definition(), "")).encode()
    far.store.clear()
    far.pipe_file("/study/study.json", manifest)
    for name in (f"/study/runs/{key}/{what}" for what in ("record.json", "SHA256SUMS", escaping)):
        far.store[name] = MemoryFile(far, name, b"{}")
    for name in ("/study/runs/../SHA256SUMS", "/study/runs/...failed/SHA256SUMS"):
        far.store[name] = MemoryFile(far, name, b"{}")
    found = sync("memory://study", str(tmp_path / "deep" / "copy"))
    assert found.copied == [] and len(found.damaged) == 1 and "leads out of its folder" in found.damaged[0]
    assert not [path for path in tmp_path.rglob("*") if path.name == "escaped"]
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "copy"]
    far.store.clear()
