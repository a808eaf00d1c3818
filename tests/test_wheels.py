"""What is given away as a wheel is looked at: tag, contents, digests, libraries."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TAG = "cp311-cp311-manylinux_2_28_x86_64"

pytestmark = pytest.mark.skipif(
    not shutil.which("gcc") or not shutil.which("readelf"), reason="gcc and binutils are needed")


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"runtime/tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check = load("check_wheel")
EXTENSION = "edge_sdk/_native.cpython-311-x86_64-linux-gnu.so"
INFO = f"edge_inference_sdk-{check.version()}.dist-info"
NAME = f"edge_inference_sdk-{check.version()}-{TAG}.whl"


def compiled(folder, source="int f(void) { return 0; }\n", *options, compiler="gcc"):
    """Return a shared library of some C."""
    path, out = folder / "x.c", folder / "x.so"
    path.write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", path, "-o", out, *options], check=True)
    return out.read_bytes()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("library"))


@pytest.fixture
def contents(library):
    """What a small wheel of ours holds, without RECORD."""
    return {"edge_sdk/__init__.py": b"", "edge_sdk/py.typed": b"",
            "edge_sdk/exporters/__init__.py": b"", EXTENSION: library,
            f"{INFO}/METADATA": b"Name: edge-inference-sdk\n",
            f"{INFO}/WHEEL": f"Root-Is-Purelib: false\nTag: {TAG}\n".encode()}


@pytest.fixture
def write(tmp_path):
    """Return write(contents, name=, record=): a wheel with its RECORD, as bytes or changed."""

    def written(contents, name=NAME, record=lambda text: text):
        rows = [f"{path},sha256={digest(content)},{len(content)}"
                for path, content in contents.items()]
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            for inside, content in contents.items():
                archive.writestr(inside, content)
            archive.writestr(f"{INFO}/RECORD",
                             record("\n".join([*rows, f"{INFO}/RECORD,,"]) + "\n"))
        return path

    return written


def digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def test_a_wheel_with_all_it_needs_has_no_fault(write, contents):
    assert check.faults(write(contents)) == []


@pytest.mark.parametrize("name", [
    "edge_inference_sdk-0.1.0-cp311-cp311-linux_x86_64.whl",
    "edge_inference_sdk-0.1.0-py3-none-any.whl",
    "edge_inference_sdk-0.1.0-cp311-abi3-manylinux_2_28_x86_64.whl",
    "edge_inference_sdk-0.1.0-cp311-cp311-manylinux_2_28_riscv64.whl",
    "edge_inference_sdk-0.1.0-cp311-cp311-manylinux_2_39_x86_64.whl"])
def test_a_name_that_promises_something_else_is_a_fault(write, contents, name):
    found, = check.faults(write(contents, name))
    assert found.startswith("name: ")


def test_the_version_is_that_of_the_header(write, contents):
    assert check.version().count(".") == 2
    found = check.faults(write(contents, f"edge_inference_sdk-9.9.9-{TAG}.whl"))
    assert f"version: expected {check.version()} of edge_runtime.h, got 9.9.9" in found


@pytest.mark.parametrize("path", [
    "tests/test_x.py", "edge_sdk/tests/test_x.py", "edge_sdk/__pycache__/x.py",
    "edge_sdk/build/x.py", "exporters/__init__.py", "/edge_sdk/x.py", "edge_sdk/../x.py"])
def test_what_is_no_part_of_the_package_is_a_fault(write, contents, path):
    assert check.faults(write({**contents, path: b""})) == [
        f"has {path}, which is no part of the package"]


@pytest.mark.parametrize("path", ["edge_sdk/x.o", "edge_sdk/x.pyc", "edge_sdk/_other.so",
                                  "edge_sdk/_native.cpython-310-x86_64-linux-gnu.so"])
def test_build_products_and_other_extensions_are_faults(write, contents, path):
    assert check.faults(write({**contents, path: b""})) == [
        f"has {path}, of a kind that wheels do not hold"]


@pytest.mark.parametrize("path", ["edge_sdk/py.typed", EXTENSION, "edge_sdk/__init__.py"])
def test_a_file_that_is_not_there_is_a_fault(write, contents, path):
    del contents[path]
    assert check.faults(write(contents)) == [f"lacks {path}"]


def test_every_byte_counts_in_record(write, contents):
    path = "edge_sdk/__init__.py"
    for record, fault in (
        (lambda text: text.replace(digest(b""), digest(b" "), 1), "another digest or size"),
        (lambda text: text.replace(f"{digest(b'')},0", f"{digest(b'')},1", 1),
         "another digest or size"),
        (lambda text: "\n".join(line for line in text.splitlines() if path not in line),
         "differ in"),
        (lambda text: f"{text}edge_sdk/gone.py,sha256=x,1\n", "differ in edge_sdk/gone.py"),
    ):
        assert any(fault in found for found in check.faults(write(contents, record=record)))


def test_the_tag_inside_is_that_of_the_name(write, contents):
    name = f"{INFO}/WHEEL"
    contents[name] = contents[name].replace(b"2_28", b"2_39")
    assert "2_39" in check.faults(write(contents))[0]
    contents[name] = b"Root-Is-Purelib: true\nTag: " + TAG.encode()
    assert check.faults(write(contents)) == ["WHEEL: expected Root-Is-Purelib: false"]


def test_a_library_that_is_not_glibcs_is_a_fault(write, contents, tmp_path):
    contents[EXTENSION] = compiled(tmp_path, "int main(void);\n", "-Wl,--no-as-needed",
                                   "-l:libstdc++.so.6")
    assert any("needs libstdc++.so.6, which is not glibc's" in found
               for found in check.faults(write(contents)))


def test_a_symbol_of_a_newer_glibc_is_a_fault(write, contents, tmp_path):
    # Of glibc 2.34, since which it lies in libc itself.
    source = "int pthread_create(); int f(void) { return pthread_create(0, 0, 0, 0); }\n"
    contents[EXTENSION] = compiled(tmp_path, source)
    assert any("needs glibc 2.34, newer than 2.28" in found
               for found in check.faults(write(contents)))


def test_a_path_of_the_building_machine_is_a_fault(write, contents, tmp_path):
    contents[EXTENSION] = compiled(tmp_path, "int x;\n", "-Wl,-rpath,/home/someone")
    assert any("path of the machine that built it" in found
               for found in check.faults(write(contents)))


@pytest.mark.skipif(not shutil.which("aarch64-linux-gnu-gcc"), reason="no cross compiler")
def test_machine_code_of_another_processor_is_a_fault(write, contents, tmp_path):
    contents[EXTENSION] = compiled(tmp_path, compiler="aarch64-linux-gnu-gcc")
    assert check.faults(write(contents)) == [
        f"{Path(EXTENSION).name}: expected machine code of x86_64"]


def test_bytes_that_are_no_library_are_a_fault(write, contents):
    contents[EXTENSION] = b"no library"
    assert any("expected machine code" in found for found in check.faults(write(contents)))


@pytest.mark.parametrize("processor", check.PROCESSORS)
def test_the_wheels_that_were_built_here_have_no_fault(processor):
    built = sorted((ROOT / "dist").glob(f"edge_inference_sdk-*_{processor}.whl"))
    if not built:
        pytest.skip("make wheel was not run")
    for wheel in built:
        assert check.faults(wheel) == []
        assert wheel.stat().st_size < 20e6
