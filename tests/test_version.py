"""One version: EDGE_VERSION of the header, wherever else it is said."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import edge_sdk

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "runtime" / "include" / "edge_runtime.h"
VERSION = re.findall(r'#define EDGE_VERSION "([^"]+)"', HEADER.read_text())[0]


def test_python_says_what_the_header_says():
    assert edge_sdk.__version__ == VERSION


def test_the_changelog_begins_with_this_version():
    entries = re.findall(r"^## \[([^\]]+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(),
                         re.MULTILINE)
    assert entries[0][0] == VERSION
    assert all(re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", when) for _, when in entries)


def test_the_wheel_reads_its_version_from_the_header():
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert f'input = "{HEADER.relative_to(ROOT).as_posix()}"' in project
    regex = re.findall(r"^regex = '(.+)'$", project, re.MULTILINE)[0]
    assert re.findall(regex, HEADER.read_text()) == [VERSION]


def test_the_installed_distribution_is_of_this_version():
    try:
        installed = metadata.version("edge-inference-sdk")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed, but found in the checkout")
    assert installed == VERSION


def test_cmake_and_pkg_config_say_what_the_header_says(tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("not installed: cmake")
    subprocess.run(["cmake", "-S", str(ROOT / "runtime"), "-B", str(tmp_path)],
                   check=True, capture_output=True, timeout=300)
    assert f"CMAKE_PROJECT_VERSION:STATIC={VERSION}\n" in (tmp_path / "CMakeCache.txt").read_text()
    assert f"Version: {VERSION}\n" in (tmp_path / "edge_runtime.pc").read_text()
    package = (tmp_path / "edge_runtime-config-version.cmake").read_text()
    assert f'set(PACKAGE_VERSION "{VERSION}")' in package


def test_no_other_file_says_the_version_of_the_project():
    """But the changelog, and what is measured with it or tests it."""
    said = []
    for path in [ROOT / "pyproject.toml", *(ROOT / "edge_sdk").glob("*.py"),
                 *(ROOT / "runtime").rglob("CMakeLists.txt"), *(ROOT / "runtime").rglob("*.cmake")]:
        if re.search(rf"[\"' ]{re.escape(VERSION)}[\"'\s)]", path.read_text()):
            said.append(path.name)
    assert said == []
