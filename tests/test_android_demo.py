"""The Android demo: its APK, its resources, and the Gradle project beside it.

No phone runs here: what needs no Android is tested in a JVM (test_android_demo_java.py), the
rest is compiled against API 23 and looked at from outside.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile

import pytest
from android_app import (
    ANDROID_JAR,
    APK_TOOLS,
    DEMO,
    JNI,
    MAIN,
    ROOT,
    Dex,
    absent,
    need,
    platform_classes,
    properties,
    run,
)
from hypothesis import given
from hypothesis import strategies as st

ANDROID = "{http://schemas.android.com/apk/res/android}"
EXECUTORCH_NPM = "react-native-executorch@0.8.5"

specification = importlib.util.spec_from_file_location("align", DEMO / "tools" / "align.py")
align = importlib.util.module_from_spec(specification)
specification.loader.exec_module(align)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """What build.sh makes of this tree, in a folder of its own."""
    need(*APK_TOOLS)
    out = tmp_path_factory.mktemp("apk")
    said = run(DEMO / "build.sh", "--out", out)
    return out, said


@pytest.fixture(scope="session")
def apk(built):
    return built[0] / "edge-demo.apk"


@pytest.fixture(scope="session")
def dex(apk):
    with zipfile.ZipFile(apk) as archive:
        return Dex(archive.read("classes.dex"))


def version() -> str:
    header = (ROOT / "runtime/include/edge_runtime.h").read_text()
    return re.search(r'#define EDGE_VERSION "([0-9.]+)"', header)[1]


# ---- the APK ------------------------------------------------------------------------------


def test_the_apk_says_the_package_versions_and_processors_of_the_one_place(apk):
    badging, facts = run("aapt", "dump", "badging", apk), properties()
    major, minor, patch = map(int, version().split("."))
    code = major * 1_000_000 + minor * 1000 + patch
    assert f"package: name='{facts['edge.applicationId']}' versionCode='{code}' " \
           f"versionName='{version()}'" in badging
    assert f"sdkVersion:'{facts['edge.minSdk']}'" in badging
    assert f"targetSdkVersion:'{facts['edge.targetSdk']}'" in badging
    abis = re.search(r"native-code: (.*)", badging)[1].replace("'", "").split()
    assert abis == facts["edge.abis"].split(",")
    assert "launchable-activity: name='org.edgesdk.demo.ImageActivity'" in badging


def test_the_only_permission_is_to_record(apk):
    asked = re.findall(r"uses-permission: name='([^']*)'", run("aapt", "dump", "badging", apk))
    assert asked == ["android.permission.RECORD_AUDIO"]


def test_the_signature_verifies_with_a_scheme_that_android_11_demands(apk):
    said = run("apksigner", "verify", "-v", "--min-sdk-version",
               properties()["edge.minSdk"], apk)
    assert re.search(r"Verified using v[23] scheme .*: true", said), said


def test_a_changed_byte_breaks_the_signature(apk, tmp_path):
    changed = tmp_path / "changed.apk"
    data = bytearray(apk.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    done = subprocess.run(["apksigner", "verify", str(changed)], capture_output=True, check=False)
    assert done.returncode != 0


def test_libraries_lie_at_16_kb_in_the_zip_and_in_memory(apk):
    assert align.faults(apk) == []
    with zipfile.ZipFile(apk) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
    assert len(names) == len(properties()["edge.abis"].split(","))


def test_libraries_are_run_where_they_lie_in_the_apk(apk):
    tree = run("aapt", "dump", "xmltree", apk, "AndroidManifest.xml")
    assert re.search(r"extractNativeLibs\(0x[0-9a-f]+\)=\(type 0x12\)0x0\b", tree)


def test_every_asset_of_the_tree_is_in_the_apk_unchanged(apk):
    with zipfile.ZipFile(apk) as archive:
        held = {name: archive.read(name) for name in archive.namelist()
                if name.startswith("assets/")}
    files = [path for path in (MAIN / "assets").rglob("*") if path.is_file()]
    assert held == {f"assets/{path.relative_to(MAIN / 'assets').as_posix()}": path.read_bytes()
                    for path in files}
    assert len(files) > 8


def test_the_dex_holds_every_class_of_the_sources(dex, apk):
    folders = (MAIN / "java", DEMO / "app/src/core/java", JNI / "java")
    wanted = {f"L{path.relative_to(folder).with_suffix('').as_posix()};"
              for folder in folders for path in folder.rglob("*.java")
              if path.name != "package-info.java"}
    assert wanted <= dex.defined
    assert not any("/pytorch/" in name for name in dex.types)
    assert "Lorg/edgesdk/demo/SpeechActivity;" in dex.defined


def test_no_class_above_api_23_is_spoken_of(dex):
    known = platform_classes() | dex.defined
    spoken = {name.lstrip("[") for name in dex.types}
    # dalvik.annotation is of the format itself: generics, inner classes, thrown types.
    unknown = {name for name in spoken
               if name.startswith("L") and not name.startswith("Ldalvik/annotation/")} - known
    assert unknown == set()


def test_younger_methods_are_asked_for_by_name_alone(dex):
    names = {name for _, name in dex.methods}
    assert "getThermalHeadroom" not in names
    assert "getMethod" in names


def test_the_build_says_what_it_has_verified(built):
    _, said = built
    assert re.search(r"^sha256 +[0-9a-f]{64}$", said, re.MULTILINE)
    assert "verified  signature, badging, alignment" in said
    assert not list(built[0].glob("work.*")), "left-overs"


def test_a_missing_tool_is_named_with_the_line_that_installs_it(tmp_path):
    for name in ("bash", "dirname", "cat", "sed", "grep", "date", "mkdir", "tr", "dpkg", "env"):
        if shutil.which(name):
            (tmp_path / name).symlink_to(shutil.which(name))
    done = subprocess.run([shutil.which("bash"), DEMO / "build.sh"], env={"PATH": str(tmp_path)},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends aapt apksigner" in done.stderr


def test_the_readme_names_every_package_that_the_script_may_miss():
    script, readme = ((DEMO / name).read_text() for name in ("build.sh", "README.md"))
    install = re.search(r"apt-get install --no-install-recommends ([^`]*)```", readme)[1]
    pairs = re.search(r"for pair in (.*?); do", script, re.DOTALL)[1]
    packages = {pair.split(":")[1] for pair in re.findall(r"[\w.-]+:[\w.-]+", pairs)}
    packages |= set(re.findall(r"missing\+=\(([\w-]+)\)", script))
    named = set(install.replace("\\", " ").split())
    assert packages - {"openjdk-17-jre-headless"} == named, "the jdk brings the jre"


def test_without_the_mirror_nothing_counts_as_fetched(tmp_path):
    need("apt-get", files=("/usr/share/keyrings/debian-archive-keyring.gpg",))
    done = subprocess.run([sys.executable, ROOT / "runtime/tools/debian.py", "--suite", "bullseye",
                           "--arch", "amd64", "--into", tmp_path / "debian", "dalvik-exchange"],
                          text=True,
                          env={**os.environ, "EDGE_DEBIAN_MIRROR": f"file://{tmp_path}/none"},
                          capture_output=True, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}/none" in done.stderr
    assert not (tmp_path / "debian/complete").exists()


def test_another_argument_is_a_usage_error():
    done = subprocess.run([DEMO / "build.sh", "--help-me"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert "--out DIR" in done.stderr


# ---- aligning -----------------------------------------------------------------------------


names_and_bytes = st.dictionaries(
    st.from_regex(r"[a-zé]{1,20}(\.so|\.mrl|\.xml|)", fullmatch=True), st.binary(max_size=300),
    max_size=8)


@given(names_and_bytes, st.booleans())
def test_what_is_aligned_holds_the_same_bytes_at_the_right_places(tmp_path_factory, entries, pack):
    folder = tmp_path_factory.mktemp("align")
    with zipfile.ZipFile(folder / "in.zip", "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED)
    align.align(folder / "in.zip", folder / "out.zip")
    raw = (folder / "out.zip").read_bytes()
    with zipfile.ZipFile(folder / "out.zip") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == entries
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED:
                offset = align.data_offset(raw, info)
                assert offset % align.alignment(info.filename) == 0
                assert raw[offset : offset + info.file_size] == entries[info.filename]
            else:
                assert not info.filename.endswith((".so", ".mrl"))


def elf(alignment: int, *, bits: int = 64) -> bytes:
    """A library of one LOAD segment, as far as a loader looks."""
    if bits == 64:
        return b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14) + \
            struct.pack("<HH", 56, 1) + bytes(6) + struct.pack("<II", 1, 5) + bytes(40) + \
            struct.pack("<Q", alignment)
    return b"\x7fELF\x01" + bytes(23) + struct.pack("<I", 52) + bytes(10) + \
        struct.pack("<HH", 32, 1) + bytes(6) + struct.pack("<I", 1) + bytes(24) + \
        struct.pack("<I", alignment)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("alignment", "ok"), [(4096, False), (16384, True), (65536, True)])
def test_a_library_for_pages_of_4_kb_is_a_fault(tmp_path, bits, alignment, ok):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("lib/x/lib.so", elf(alignment, bits=bits))
    align.align(tmp_path / "in.zip", tmp_path / "out.zip")
    found = align.faults(tmp_path / "out.zip")
    assert (found == []) == ok
    assert ok or "LOAD segments aligned to [4096]" in found[0]


def test_compressed_misplaced_and_foreign_libraries_are_faults(tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.so", elf(16384), zipfile.ZIP_DEFLATED)
        archive.writestr("b.so", elf(16384))
        archive.writestr("c.so", b"no library")
    words = "\n".join(align.faults(path))
    assert "a.so is compressed" in words
    assert "b.so begins at" in words
    assert "c.so: not an ELF file" in words


# ---- resources ----------------------------------------------------------------------------


def resource_files():
    return sorted((MAIN / "res").rglob("*.xml"))


def defined_resources() -> set[tuple[str, str]]:
    found = set()
    for path in resource_files():
        kind = path.parent.name.split("-")[0]
        if kind != "values":
            found.add((kind, path.stem))
        for element in ET.parse(path).iter():
            if kind == "values" and element.get("name") and element.tag != "item":
                found.add((element.tag, element.get("name")))
            id_ = element.get(f"{ANDROID}id", "")
            if id_.startswith("@+id/"):
                found.add(("id", id_.removeprefix("@+id/")))
    return found


def used_resources() -> set[tuple[str, str]]:
    pattern = r"@(id|string|color|dimen|style|drawable|layout|mipmap)/([A-Za-z0-9_.]+)"
    texts = [path.read_text() for path in [*resource_files(), MAIN / "AndroidManifest.xml"]]
    used = {pair for text in texts for pair in re.findall(pattern, text)}
    for path in (DEMO / "app/src").rglob("*.java"):
        used |= set(re.findall(r"(?<!android\.)\bR\.(\w+)\.(\w+)", path.read_text()))
    return used


def test_every_resource_that_is_named_exists_and_none_lies_unused():
    defined, used = defined_resources(), used_resources()
    assert used - defined == set()
    parents = {("style", path) for path in ("Line", "Demo")}
    assert defined - used - parents == set()


def test_layouts_have_no_pixels_and_no_words_of_their_own():
    for path in (MAIN / "res").glob("layout*/*.xml"):
        for element in ET.parse(path).iter():
            for name, value in element.attrib.items():
                where = f"{path.name}: {name}={value}"
                assert not re.fullmatch(r"[0-9.]+px", value), where
                if name in (f"{ANDROID}text", f"{ANDROID}contentDescription", f"{ANDROID}hint"):
                    assert value.startswith("@string/"), where
                if name in (f"{ANDROID}textColor", f"{ANDROID}background"):
                    assert value.startswith("@"), where


def test_what_shows_no_words_is_described_to_those_who_do_not_see_it():
    wordless = {"ImageView", "SeekBar", "ProgressBar", "org.edgesdk.demo.DrawView"}
    found = set()
    for path in (MAIN / "res").glob("layout*/*.xml"):
        for element in ET.parse(path).iter():
            if element.tag in wordless:
                found.add(element.tag)
                assert element.get(f"{ANDROID}contentDescription"), f"{path.name}: {element.tag}"
    assert found == wordless


def test_the_dark_theme_has_every_colour_of_the_screens():
    def names(folder, tag):
        return {element.get("name") for path in (MAIN / "res" / folder).glob("*.xml")
                for element in ET.parse(path).iter(tag)}
    assert names("values", "color") - names("values-night", "color") == {"icon_background"}
    assert names("values-night", "style") == {"Demo"}


def test_texts_take_their_arguments_by_number():
    for element in ET.parse(MAIN / "res/values/strings.xml").iter("string"):
        text = element.text or ""
        assert "%" not in re.sub(r"%\d+\$[sd]|%%", "", text), text


def test_the_manifest_names_activities_that_exist():
    tree = ET.parse(MAIN / "AndroidManifest.xml")
    for activity in tree.iter("activity"):
        name = activity.get(f"{ANDROID}name")
        assert (MAIN / "java" / (name.replace(".", "/") + ".java")).exists()
        assert activity.get(f"{ANDROID}exported") in ("true", "false")
    assert "package" not in tree.getroot().attrib, "Gradle takes it from its namespace"


# ---- Java that both builds can take -------------------------------------------------------


def test_the_sources_have_nothing_that_dx_can_not_translate():
    for path in [*(DEMO / "app/src").rglob("*.java"), *(JNI / "java").rglob("*.java")]:
        if "/test/" in path.as_posix():
            continue
        text = path.read_text()
        for pattern in (r"\) ?->", r"\w+::\w+", r"java\.util\.(function|stream)", r"\bvar "):
            assert not re.search(pattern, text), f"{path.name}: {pattern}"
        assert len(text.splitlines()) <= 600, path.name


def test_the_core_package_knows_no_android():
    for path in (MAIN / "java/org/edgesdk/demo/core").rglob("*.java"):
        assert not re.search(r"import android", path.read_text()), path.name


# ---- Gradle -------------------------------------------------------------------------------


def test_gradle_takes_its_facts_from_where_the_script_does():
    text = (DEMO / "app/build.gradle").read_text()
    for name in ("edge.applicationId", "edge.minSdk", "edge.targetSdk", "edge.abis"):
        assert f"property('{name}')" in text
        assert f"property {name}" in (DEMO / "build.sh").read_text()
    assert "edge_runtime.h" in text
    assert "EDGE_VERSION" in text
    assert not re.search(r"(minSdk|targetSdk|versionCode) +\d", text)
    assert re.search(r"group\(1\)\.toInteger\(\) \* 1000000 .*group\(2\)\.toInteger\(\) \* 1000 ",
                     text)


def test_gradle_has_the_source_roots_and_libraries_of_the_script():
    gradle, script = (DEMO / "app/build.gradle").read_text(), (DEMO / "build.sh").read_text()
    assert "'src/main/java', new File(repository, 'runtime/jni/java')" in gradle
    assert '"$main/java" "$demo/app/src/core/java" "$root/runtime/jni/java"' in script
    assert "'build/jni/android'" in gradle
    assert '"$root/build/jni/android/$abi/' in script
    for suffix in ("mrl", "llc", "grnn", "pte"):
        assert f"'{suffix}'" in gradle
        assert f"-0 {suffix} " in script
    flavours = re.findall(r"^        (\w+) \{\n            dimension", gradle, re.MULTILINE)
    assert sorted(flavours) == sorted(path.parent.name
                                      for path in (DEMO / "app/src").glob("*/java")
                                      if path.parent.name not in ("main", "test"))


def test_gradle_says_that_nobody_has_built_it_here():
    for name in ("build.gradle", "app/build.gradle", "settings.gradle"):
        assert (DEMO / name).read_text().startswith("// Not built in CI"), name
    assert "not built in CI" in (DEMO / "README.md").read_text()
    assert "org.pytorch:executorch-android:" in (DEMO / "app/build.gradle").read_text()


@pytest.fixture(scope="session")
def executorch_jar():
    """ExecuTorch's Java classes from npm, which the build folder keeps."""
    folder = DEMO / "build" / "executorch"
    jar = folder / "package/android/libs/classes.jar"
    if not jar.exists():
        need("npm", "tar")
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["npm", "pack", "--silent", EXECUTORCH_NPM], cwd=folder,
                              capture_output=True, text=True, check=False, timeout=400)
        if done.returncode:
            absent(f"npm can not fetch {EXECUTORCH_NPM}: {done.stderr}")
        archive = folder / done.stdout.split()[-1]
        run("tar", "xzf", archive, "-C", folder, "package/android/libs/classes.jar")
        archive.unlink()
    return jar


def test_the_executorch_flavour_compiles_against_its_library(built, executorch_jar, tmp_path):
    sources = [*(MAIN / "java/org/edgesdk/demo/core").glob("*.java"),
               *(JNI / "java").rglob("*.java"), *(DEMO / "app/src/executorch").rglob("*.java")]
    run("javac", "-source", "8", "-target", "8", "-Xlint:-options", "-bootclasspath", ANDROID_JAR,
        "-cp", executorch_jar, "-d", tmp_path, *sources)
    assert (tmp_path / "org/edgesdk/demo/ExecuTorchImageModel.class").exists()
