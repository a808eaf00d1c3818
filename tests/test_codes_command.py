"""`python -m edge_sdk.codes`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from edge_sdk.codes import CodeIndex, InstanceIndex
from edge_sdk.codes import __main__ as command
from edge_sdk.codes.__main__ import app
from edge_sdk.console import commands
from edge_sdk.errors import ComparisonError, ShapeError

GOLDEN = Path(__file__).resolve().parent / "golden" / "codes.txt"
N, BITS = 30, 12


@pytest.fixture
def folder(tmp_path):
    """Codes, labels, words and scores as a user would have them."""
    rng = np.random.default_rng(0)
    words = rng.permutation(1 << BITS)[:N]
    table = ((words[:, None] >> np.arange(BITS)) & 1).astype(np.int8)
    np.save(tmp_path / "codes.npy", table * 2 - 1)
    np.save(tmp_path / "packed.npy", words)
    (tmp_path / "labels.txt").write_text("".join(f"class {i}\n" for i in range(N)), "utf-8")
    np.save(tmp_path / "words.npy", np.array([words[3], words[7] ^ 1, words[0]]))
    noise = rng.normal(0, 0.1, (3, BITS))
    np.save(tmp_path / "scores.npy", (table[[4, 9, 2]] * 2 - 1 + noise).astype(np.float32))
    return tmp_path


@pytest.fixture
def index(folder, run_command):
    status, _, err = run_command(app, "build", folder / "codes.npy", "--out", folder / "x.llc",
                                 "--labels", folder / "labels.txt", "--prefixes", "8,10")
    assert status == 0, err
    return folder / "x.llc"


def masked(text, folder):
    """Return output without what the layout of a section or the folder changes."""
    text = text.replace(str(folder), "FOLDER")
    return re.sub(r" +\d+(\.\d)? B\b", " N B", text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- build and inspect --------------------------------------------------------------------


def test_the_printed_lines_are_those_of_the_golden_file(folder, run_command):
    text = ""
    for arguments in (
        ("build", folder / "codes.npy", "--out", folder / "x.llc", "--labels",
         folder / "labels.txt", "--prefixes", "8,10", "--multi"),
        ("inspect", folder / "x.llc"),
        ("build", folder / "packed.npy", "--bits", BITS, "--out", folder / "ed.llc",
         "--decoders", "ed"),
        ("inspect", folder / "ed.llc"),
        ("build", folder / "codes.npy", "--out", folder / "items.llc", "--instances"),
        ("inspect", folder / "items.llc"),
        ("decode", folder / "x.llc", folder / "words.npy"),
        ("decode", folder / "x.llc", folder / "words.npy", "--decoder", "mhd"),
        ("decode", folder / "x.llc", folder / "scores.npy"),
    ):
        status, out, err = run_command(app, *arguments)
        assert (status, err) == (0, "")
        text += f"$ python -m edge_sdk.codes {' '.join(map(str, arguments))}\n{out}"
    text = re.sub(r"penalty [0-9.e-]+", "penalty P", masked(text, folder))
    if os.environ.get("EDGE_SDK_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_a_built_file_is_what_python_builds(folder, index):
    made = CodeIndex.open(index)
    assert made.prefixes == (8, 10)
    assert made.labels == [f"class {i}" for i in range(N)]
    assert made.codes.tolist() == np.load(folder / "packed.npy").tolist()
    assert made.provenance == {"codes": "codes.npy", "dtype": "int8", "shape": [N, BITS]}
    assert names(folder) == ["codes.npy", "labels.txt", "packed.npy", "scores.npy", "words.npy",
                             "x.llc"]


@pytest.mark.parametrize("form", ["integers", "bytes", "01", "real"])
def test_codes_of_every_form_are_built_into_the_same_index(form, folder, run_command):
    words = np.load(folder / "packed.npy")
    table = np.load(folder / "codes.npy")
    forms = {"integers": (words, "--bits", BITS),
             "bytes": (np.packbits(table > 0, axis=1, bitorder="little"), "--bits", BITS,
                       "--coding", "packed"),
             "01": ((table > 0).astype(np.float32), "--coding", "01"),
             "real": (table * 0.37,)}
    array, *options = forms[form]
    np.save(folder / "form.npy", array)
    status, _, err = run_command(app, "build", folder / "form.npy", "--out", folder / "x.llc",
                                 *options)
    assert status == 0, err
    assert CodeIndex.open(folder / "x.llc").codes.tolist() == words.tolist()


def test_json_says_all_that_the_lines_do(folder, index, run_command):
    status, out, err = run_command(app, "build", folder / "codes.npy", "--out", folder / "y.llc",
                                   "--json")
    assert (status, err) == (0, "")
    made = json.loads(out)
    assert made["file"] == str(folder / "y.llc")
    assert made["checks"] == {"ed": [N, N], "mhd": [N, N], "ord": [N, N]}
    status, out, _ = run_command(app, "inspect", index, "--json")
    shown = json.loads(out)
    assert (shown["kind"], shown["n"], shown["bits"]) == ("classes", N, BITS)
    assert shown["bytes"] == index.stat().st_size
    assert shown["prefixes"] == [8, 10]
    assert shown["decoders"] == ["ed", "mhd", "ord"]
    assert shown["sections"]["CODE"] == 4 * N
    assert len(shown["labels"]) == N


def test_equal_codes_fail_unless_the_lowest_id_is_asked_for(folder, run_command):
    np.save(folder / "twins.npy", np.array([5, 9, 5]))
    build = "build", folder / "twins.npy", "--bits", 8, "--out", folder / "x.llc"
    (folder / "three.txt").write_text("ant\nbee\ncat\n")
    status, out, err = run_command(app, *build, "--labels", folder / "three.txt")
    assert (status, out) == (1, "")
    assert "1 duplicates, the first of ids 0 (ant) and 2 (cat)" in err
    assert not (folder / "x.llc").exists()
    status, out, _ = run_command(app, *build, "--duplicates", "lowest")
    assert (status, "ed 3/3" in out) == (0, True)
    assert CodeIndex.open(folder / "x.llc").decode_ed([5]).tolist() == [0]


def test_no_codes_are_an_index_of_nobody(folder, run_command):
    np.save(folder / "none.npy", np.empty(0, np.uint64))
    for extra in ((), ("--instances",)):
        status, out, err = run_command(app, "build", folder / "none.npy", "--bits", 20, "--out",
                                       folder / "x.llc", *extra)
        assert status == 0, err
        assert out.endswith("ok\n")
        status, out, _ = run_command(app, "inspect", folder / "x.llc")
        assert (status, " n 0  bits 20" in out) == (0, True)
    status, _, err = run_command(app, "bench", folder / "x.llc")
    assert (status, "there is nothing to time" in err) == (1, True)


@pytest.mark.parametrize("bits", [24, 64, 128, 256])
def test_items_are_streamed_from_the_file_chunk_by_chunk(bits, folder, run_command, monkeypatch):
    table = np.random.default_rng(1).integers(0, 2, (500, bits)).astype(np.int8)
    np.save(folder / "items.npy", table)
    monkeypatch.setattr(command, "chunked", lambda rows: (rows[i : i + 64]
                                                          for i in range(0, len(rows), 64)))
    status, out, err = run_command(app, "build", folder / "items.npy", "--out", folder / "i.llc",
                                   "--instances")
    assert status == 0, err
    assert "check   items 500/500  searched 16/16  ok" in out
    assert (folder / "i.llc").read_bytes() == InstanceIndex.build(table)._data.tobytes()
    status, out, err = run_command(app, "bench", folder / "i.llc", "--repeats", 1)
    assert status == 0, err
    assert out.count("ns a query") == 2


def test_a_file_that_does_not_decode_to_its_ids_is_not_moved_into_place(
        folder, run_command, monkeypatch):
    monkeypatch.setattr(CodeIndex, "decode_ed", lambda self, words: np.zeros(len(words), np.int64))
    status, _, err = run_command(app, "build", folder / "codes.npy", "--out", folder / "x.llc")
    assert status == 1
    assert "ComparisonError: expected 30 codes found by ed, got 1" in err
    assert "x.llc" not in names(folder)
    with pytest.raises(ComparisonError):
        command.demand_right({"mhd": (2, 3)})


# ---- decode -------------------------------------------------------------------------------


def test_words_are_decoded_by_ed_and_mhd(folder, index, run_command):
    status, out, _ = run_command(app, "decode", index, folder / "words.npy", "--json")
    answer = json.loads(out)
    assert (status, answer["decoder"], answer["queries"], answer["classes"]) == (0, "ed", 3, 2)
    assert answer["answers"][0] == {"query": 0, "id": 3, "distance": 0, "label": "class 3"}
    assert answer["answers"][1] == {"query": 1, "id": None, "distance": None}
    status, out, _ = run_command(app, "decode", index, folder / "words.npy", "--decoder", "mhd",
                                 "--json")
    found = json.loads(out)["answers"]
    assert [row["id"] for row in found] == CodeIndex.open(index).decode_mhd(
        np.load(folder / "words.npy")).tolist()
    assert found[1]["distance"] == 1
    assert found[0]["margin"] >= 1


def test_scores_are_decoded_by_ord_and_the_soft_scan(folder, index, run_command):
    for decoder in ((), ("--decoder", "ord"), ("--decoder", "soft")):
        status, out, _ = run_command(app, "decode", index, folder / "scores.npy", "--json",
                                     *decoder)
        answer = json.loads(out)
        assert status == 0
        assert answer["decoder"] == (decoder[1] if decoder else "ord")
        assert [row["id"] for row in answer["answers"]] == [4, 9, 2]
        assert {"penalty", "lookups", "met", "label"} <= set(answer["answers"][0])


def test_ids_are_written_instead_of_lines(folder, index, run_command):
    status, out, _ = run_command(app, "decode", index, folder / "words.npy", "--out",
                                 folder / "ids.npy")
    ids = np.load(folder / "ids.npy")
    assert (status, ids.dtype, ids.tolist()) == (0, np.int64, [3, -1, 0])
    assert out.splitlines()[0].startswith("wrote ")
    assert out.splitlines()[-1] == "done    ed  queries 3  classes 2  none 1"
    assert "query " not in out
    status, out, _ = run_command(app, "decode", index, folder / "words.npy", "--out",
                                 folder / "ids.npy", "--json")
    assert json.loads(out) == {"decoder": "ed", "queries": 3, "classes": 2,
                               "out": str(folder / "ids.npy")}


def test_a_batch_of_no_queries_is_decoded_to_nothing(folder, index, run_command):
    np.save(folder / "none.npy", np.empty(0, np.uint64))
    status, out, _ = run_command(app, "decode", index, folder / "none.npy")
    assert (status, out) == (0, "done    ed  queries 0  classes 0  none 0\n")
    np.save(folder / "none.npy", np.empty((0, BITS), np.float32))
    assert run_command(app, "decode", index, folder / "none.npy")[0] == 0


def test_an_index_without_its_codes_still_decodes(folder, run_command):
    build = "build", folder / "codes.npy", "--out", folder / "x.llc", "--decoders"
    assert run_command(app, *build, "ed")[0] == 0
    assert run_command(app, "decode", folder / "x.llc", folder / "words.npy")[0] == 0
    status, _, err = run_command(app, "decode", folder / "x.llc", folder / "scores.npy")
    assert (status, "an index built for this decoder" in err) == (1, True)
    status, out, _ = run_command(app, "bench", folder / "x.llc", "--repeats", 1)
    assert (status, out.count("ns a query")) == (0, 1)


# ---- bench --------------------------------------------------------------------------------


def test_every_decoder_is_timed_on_two_kinds_of_queries(index, run_command):
    status, out, _ = run_command(app, "bench", index, "--repeats", 2)
    assert status == 0
    timed = [line.split() for line in out.splitlines() if "ns a query" in line]
    assert [(row[0], row[1]) for row in timed] == [
        (decoder, kind) for decoder in ("ed", "mhd", "ord", "soft") for kind in ("random", "near")]
    assert all(float(row[2]) > 0 for row in timed)
    assert "threads 1" in out
    assert "on this machine" in out
    status, out, _ = run_command(app, "bench", index, "--repeats", 1, "--json")
    rows = json.loads(out)["rows"]
    assert len(rows) == 8
    assert all(row["ns"] > 0 and row["repeats"] == 1 for row in rows)


def test_near_queries_differ_from_a_code_in_two_bits_at_most():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**20, 3000, np.uint64)
    flips = [bin(int(x)).count("1") for x in command.flipped(rng, codes, 20) ^ codes]
    assert set(flips) == {0, 1, 2}


# ---- failure ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    (), ("nonsense",), ("build",), ("build", "codes.npy"), ("inspect",), ("decode", "x.llc"),
    ("build", "codes.npy", "--out", "y.llc", "--coding", "gray"),
    ("build", "codes.npy", "--out", "y.llc", "--duplicates", "highest"),
    ("build", "codes.npy", "--out", "y.llc", "--decoders", "ed,soft"),
    ("build", "codes.npy", "--out", "y.llc", "--prefixes", "eight"),
    ("build", "codes.npy", "--out", "y.llc", "--bits", "-1"),
    ("build", "codes.npy", "--out", "y.llc", "--instances", "--multi"),
    ("build", "codes.npy", "--out", "y.llc", "--instances", "--labels", "labels.txt"),
    ("decode", "x.llc", "scores.npy", "--decoder", "ed"),
    ("decode", "x.llc", "words.npy", "--decoder", "ord"),
    ("decode", "x.llc", "words.npy", "--decoder", "best"),
    ("bench", "x.llc", "--repeats", "0"),
])
def test_wrong_usage_ends_with_2(arguments, folder, index, run_command, monkeypatch):
    monkeypatch.chdir(folder)
    status, out, err = run_command(app, *arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    assert not (folder / "y.llc").exists()


@pytest.mark.parametrize(("arguments", "said"), [
    (("inspect", "missing.llc"), "No such file"),
    (("inspect", "codes.npy"), "a file of this kind"),
    (("bench", "missing.llc"), "No such file"),
    (("build", "missing.npy", "--out", "y.llc"), "a .npy file, got No such file"),
    (("build", "labels.txt", "--out", "y.llc"), "a .npy file"),
    (("build", "both.npz", "--out", "y.llc"), "a .npy file of one array"),
    (("build", "objects.npy", "--out", "y.llc"), "a .npy file"),
    (("build", "packed.npy", "--out", "y.llc"), "`bits` beside packed integers"),
    (("build", "packed.npy", "--out", "y.llc", "--instances"), "`bits` beside packed integers"),
    (("build", "packed.npy", "--bits", "8", "--out", "y.llc"), "codes below 2**8"),
    (("build", "packed.npy", "--bits", "8", "--out", "y.llc", "--instances"), "codes below 2**8"),
    (("build", "codes.npy", "--bits", "13", "--out", "y.llc"), "13 bits a code, got 12"),
    (("build", "codes.npy", "--out", "no/y.llc"), "a writable output folder"),
    (("build", "codes.npy", "--out", "y.llc", "--labels", "missing.txt"), "a text file in UTF-8"),
    (("build", "codes.npy", "--out", "y.llc", "--labels", "codes.npy"), "a text file in UTF-8"),
    (("build", "codes.npy", "--out", "y.llc", "--labels", "two.txt"), "30 labels, got 2"),
    (("build", "codes.npy", "--out", "y.llc", "--prefixes", "12"), "prefixes of 1 to 11 bits"),
    (("build", "nan.npy", "--out", "y.llc"), "got NaN"),
    (("decode", "items.llc", "words.npy"), "open it with InstanceIndex"),
    (("decode", "x.llc", "missing.npy"), "No such file"),
    (("decode", "x.llc", "wide.npy"), "codes below 2**12"),
    (("decode", "x.llc", "nan.npy"), "finite numbers"),
    (("decode", "x.llc", "words.npy", "--out", "no/ids.npy"), "a writable output folder"),
])
def test_an_error_is_one_message_with_a_hint_and_ends_with_1(
        arguments, said, folder, index, run_command, monkeypatch):
    np.savez(folder / "both.npz", a=[1], b=[2])
    np.save(folder / "objects.npy", np.array([None]), allow_pickle=True)
    np.save(folder / "nan.npy", np.full((2, BITS), np.nan, np.float32))
    np.save(folder / "wide.npy", np.array([1 << BITS]))
    (folder / "two.txt").write_text("a\nb\n")
    InstanceIndex.write(folder / "items.llc", [[1]], n=1, bits=8)
    before = names(folder)
    monkeypatch.chdir(folder)
    status, out, err = run_command(app, *arguments)
    assert (status, out) == (1, "")
    assert said in err
    assert "\nhint: " in err
    assert "Traceback" not in err
    assert names(folder) == before


def test_a_damaged_file_is_refused_by_every_command(folder, index, run_command):
    data = bytearray(index.read_bytes())
    data[-3] ^= 4
    index.write_bytes(data)
    for arguments in (("inspect", index), ("bench", index), ("decode", index,
                                                             folder / "words.npy")):
        status, _, err = run_command(app, *arguments)
        assert (status, "FormatError" in err) == (1, True)


def test_the_module_runs_as_a_program(folder):
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.codes", "build", folder / "codes.npy", "--out",
         folder / "x.llc"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("check   ed 30/30  mhd 30/30  ord 30/30  ok\n")
    done = subprocess.run([sys.executable, "-m", "edge_sdk.codes", "--help"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("build", "decode", "inspect", "bench"))


def test_several_commands_share_how_errors_end(run_command):
    def fails(text: str = typer.Argument("")) -> None:
        """Raise what is foreseen."""
        raise ShapeError("a shape", text or None, hint="shape it")

    def breaks() -> None:
        """Raise what is not."""
        raise RuntimeError("broken")

    def interrupted() -> None:
        """Be interrupted."""
        raise KeyboardInterrupt

    several = commands(interrupted="start over", fails=fails, breaks=breaks, stops=interrupted)
    assert run_command(several, "fails", "none")[::2] == (
        1, "ShapeError: expected a shape, got none\nhint: shape it\n")
    status, _, err = run_command(several, "breaks")
    assert (status, "this was not foreseen" in err) == (1, True)
    assert run_command(several, "stops")[::2] == (130, "Interrupted\nhint: start over\n")
    assert run_command(several)[0] == 2
