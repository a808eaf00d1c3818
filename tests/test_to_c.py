"""Generated C: bit for bit its twin, nothing but C99, and nothing written unproved."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fastgrnn_models import features, oracle, weights

from edge_sdk.audio.logmel import LogMelConfig, log_mel
from edge_sdk.compiler import STRICT, compile_c
from edge_sdk.data import fsdd
from edge_sdk.errors import ComparisonError, OutputError, ShapeError, UnsupportedModel
from edge_sdk.exporters import c_compiler, c_source, to_c
from edge_sdk.fastgrnn.integer import QuantizedWeights, quantize

ROOT = Path(__file__).resolve().parent.parent

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
needs_arm = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None,
                               reason="no arm-none-eabi-gcc")

MODELS = {
    "low-rank": {},
    "whole": {"rank_w": None, "rank_u": None},
    "W whole": {"rank_w": None, "rank_u": 5},
    "sparse": {"rank_w": None, "rank_u": None, "zeros": 0.9},
    "sparse factors": {"zeros": 0.85, "h": 33},
    "all zeros": {"zeros": 1.0},
    "quantized": {"gate": "quant_sigmoid", "update": "quant_tanh"},
    "quantized 4": {"gate": "quant_sigmoid4", "update": "tanh"},
    "signed gate": {"gate": "tanh", "update": "sigmoid", "gain": 0.4},
    "quantized signed gate": {"gate": "quant_tanh", "update": "quant_sigmoid", "gain": 0.4},
    "relu": {"update": "relu"},
    "relu gate": {"gate": "relu", "gain": 0.4},
    "one of each": {"d": 1, "h": 1, "c": 1, "rank_w": 1, "rank_u": 1},
    "no head": {"c": 0},
    "unnormalized": {"normalized": False},
    "large weights": {"gain": 60.0, "normalized": False},
}


def make(kind: str, **changes):
    options = {**MODELS[kind], **changes}
    w = weights(5, **options)
    return w, features(7, n=3, d=w.n_inputs, normalized=options.get("normalized", True))


def integers(kind: str) -> tuple[QuantizedWeights, list[np.ndarray]]:
    """Return a model in integers, with real-looking, saturating and adversarial sequences."""
    w, real = make(kind)
    model = quantize(w, features=real)
    rng, unit, d = np.random.default_rng(1), 2.0**-model.input_bits, model.n_inputs
    ends = np.array([-32768, 32767, 0, -1, 1])
    sign = np.where(np.arange(d) % 2, 1, -1) if model.mean is None else np.sign(model.multiplier)
    hard = [rng.integers(-32768, 32768, (20, d)), rng.choice(ends, (20, d)),
            np.tile(np.where(sign > 0, 32767, -32768), (9, 1)),
            np.repeat(np.array([[32767], [-32768]]), 6, 0) * np.ones(d, int)]
    # The inputs that drive the first output furthest.
    hard.append(np.tile(np.where(model.w[0].q[0] > 0, 32767, -32768), (5, 1)))
    return model, [*real, *(np.asarray(x * unit, np.float32) for x in hard)]


def write(folder: Path, model, sequences, *, name="kws", quantize="int8", **options):
    return to_c.to_c(model, folder / f"{name}.c", name=name, sequences=sequences,
                     quantize=quantize, **options)


def build(folder: Path, source: str, *files: str, compiler="gcc", flags=()) -> Path:
    """Compile a program of ours with generated files; every warning is an error."""
    (folder / "main.c").write_text(source, encoding="ascii")
    compile_c([compiler], [folder / "main.c", *(folder / f for f in files)],
                         folder / "main", [*STRICT, *flags])
    return folder / "main"


def run(program: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(program)], capture_output=True, check=False, timeout=60)


def sanitized(folder: Path, model, sequences, compiler: str, flags: list[str]) -> None:
    """Run the harness under other flags and compare all it writes with the twin."""
    inputs, expected = to_c._expected(model, sequences, [None] * len(sequences))
    files = c_source.generate(model, name="kws", header="kws.h",
                              golden=to_c._golden(model, inputs[0]), facts=[])
    for name, text in (("kws.h", files.header), ("kws.c", files.source), ("main.c", files.harness)):
        (folder / name).write_text(text, encoding="ascii")
    compile_c([compiler], [folder / "kws.c", folder / "main.c"], folder / "main",
                         ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *flags])
    data = b"".join(np.int32(len(x)).tobytes() + x.tobytes() for x in inputs)
    got = to_c._read(c_compiler.run_program(folder / "main", data), model, list(map(len, inputs)))
    for want, have in zip(expected, got, strict=True):
        assert np.array_equal(want.states, have.states)
        if want.logits is not None:
            assert np.array_equal(want.logits, have.logits)
            assert np.array_equal(want.classes, have.classes)


# --- the integer form -------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("kind", MODELS)
def test_the_integers_in_c_are_the_twins_under_the_sanitizers(kind, tmp_path):
    model, sequences = integers(kind)
    sanitized(tmp_path, model, sequences, "gcc",
              ["-O1", "-Wshadow", "-Wconversion", "-fsanitize=undefined,address",
               "-fno-sanitize-recover=all"])


@needs_compiler
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [["-O3"], ["-Os"], ["-O2", "-m32"]])
def test_compilers_and_their_options_give_the_same_integers(compiler, flags, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    if "-m32" in flags and subprocess.run(
            [compiler, "-m32", "-x", "c", "-", "-o", str(tmp_path / "probe")],
            input=b"int main(void) { return 0; }", capture_output=True, check=False).returncode:
        pytest.skip("no 32-bit libraries")
    for kind in ("low-rank", "sparse", "signed gate"):
        model, sequences = integers(kind)
        sanitized(tmp_path, model, sequences, compiler, flags)


@needs_compiler
@pytest.mark.parametrize("kind", ["low-rank", "sparse factors", "no head"])
def test_a_written_model_tells_what_was_proved_and_its_size(kind, tmp_path):
    w, sequences = make(kind)
    done = write(tmp_path, w, sequences)
    assert done.comparison.max_difference == 0.0
    assert done.comparison.limit == "bit for bit"
    assert done.comparison.n == done.rounding.n == len(sequences)
    assert 0.0 < done.rounding.max_difference < 0.2
    assert done.n_bytes == quantize(w, features=sequences).n_bytes
    assert done.ram_bytes == 2 * w.n_hidden
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kws.c", "kws.h"]
    header = done.header.read_text()
    assert f"Constants  {done.n_bytes} B" in header
    assert "bit for bit the integers of its NumPy twin, 3 sequences" in header


@needs_compiler
def test_real_words_come_out_bit_for_bit(data_root, tmp_path):
    config = LogMelConfig()
    recordings = [r for r in fsdd(data_root) if r.index == 0]
    words = [log_mel(r.samples, config) for r in recordings]
    real = np.concatenate(words) / 512.0
    w = dataclasses.replace(
        make("low-rank", h=96, rank_w=14, rank_u=14)[0], preprocessing={"log_mel": {}},
        mean=real.mean(0).astype(np.float32), scale=(1.0 / real.std(0)).astype(np.float32))
    sequences = [(x / 512.0).astype(np.float32) for x in words]
    model = quantize(w, features=sequences)
    assert all(np.array_equal(model.quantize_input(s), x)
               for s, x in zip(sequences, words, strict=True))
    done = write(tmp_path, w, sequences)
    assert (done.comparison.n, done.comparison.max_difference) == (60, 0.0)
    assert done.rounding.argmax_agreement >= 0.9


@needs_compiler
def test_integers_made_elsewhere_are_taken_as_they_are(tmp_path):
    model, sequences = integers("low-rank")
    done = write(tmp_path, model, sequences)
    assert done.comparison.n == len(sequences)
    assert done.rounding is None  # there are no floats to compare with
    assert f"KWS_STATE_BITS {model.state_bits} " in done.header.read_text()


@needs_arm
@pytest.mark.parametrize("kind", MODELS)
def test_a_microcontroller_needs_no_library_for_the_integers(kind, tmp_path):
    model, sequences = integers(kind)
    write(tmp_path, model, sequences)
    for optimize in ("-Os", "-O3"):
        assert undefined(tmp_path, optimize) == set()


@needs_arm
@pytest.mark.parametrize("kind", ["low-rank", "whole", "quantized", "relu"])
def test_a_microcontroller_needs_only_float32_for_the_floats(kind, tmp_path):
    w, sequences = make(kind)
    write(tmp_path, w, sequences, quantize="none")
    assert all(re.fullmatch("__aeabi_f(add|sub|rsub|mul|div|cmp..)", name)
               for name in undefined(tmp_path, "-Os"))


def undefined(folder: Path, optimize: str) -> set[str]:
    compile_c(["arm-none-eabi-gcc"], [folder / "kws.c"], folder / "kws.o",
                         ["-mcpu=cortex-m0plus", "-mthumb", optimize, "-std=c99", "-Wall",
                          "-Wextra", "-Wpedantic", "-Werror", "-c"])
    done = subprocess.run(["arm-none-eabi-nm", "-u", str(folder / "kws.o")], capture_output=True,
                          text=True, check=True)
    return set(done.stdout.replace(" U ", "").split())


def test_the_integer_form_has_no_float_no_double_and_no_64_bits_in_it():
    model, sequences = integers("low-rank")
    inputs, _ = to_c._expected(model, sequences, [])
    text = c_source.generate(model, name="kws", header="kws.h",
                             golden=to_c._golden(model, inputs[0]), facts=[]).source
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert not re.search(r"float|double|long|int64|\d\.\d", code)
    assert re.findall(r"#include.*", text) == ['#include "kws.h"']


@needs_arm
def test_flash_is_constants_and_code_and_the_self_test_is_apart(tmp_path):
    w, sequences = make("low-rank", h=96, rank_w=14, rank_u=14)
    measured = write(tmp_path, w, sequences).footprint
    model = quantize(w, features=sequences)
    code = measured.flash_bytes - model.n_bytes - 258 - 3 * 10
    assert 400 < code < 1200
    assert measured.selftest_bytes > 9 * 2 * 32 + 2 * 96
    # At least the frame's copy and the rank's activations; far below the RAM budget.
    assert 2 * (32 + 14 + 14) < measured.stack_bytes < 400


GRAPH = """graph: { title: "a.c"
node: { title: "a.c:leaf" label: "leaf\\na.c:1:1\\n40 bytes (static)" }
node: { title: "step" label: "step\\na.c:2:1\\n24 bytes (static)" }
node: { title: "other" label: "other\\na.c:3:1\\n50 bytes (static)" }
edge: { sourcename: "step" targetname: "a.c:leaf" label: "a.c:2:9" }
node: { title: "__aeabi_fadd" label: "__aeabi_fadd\\n<built-in>" shape : ellipse }
edge: { sourcename: "step" targetname: "__aeabi_fadd" }
}"""


def test_the_worst_stack_is_that_of_the_deepest_calls():
    assert c_compiler.worst_stack(GRAPH) == 64
    assert c_compiler.worst_stack(GRAPH.replace("40 bytes (static)", "40 bytes (dynamic)")) is None


# --- float32 ----------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("kind", [k for k in MODELS if k != "large weights"])
def test_float32_agrees_with_float64_over_whole_sequences(kind, tmp_path):
    w, sequences = make(kind)
    done = write(tmp_path, w, sequences, quantize="none")
    largest = max(1.0, *(np.abs(part).max(initial=0.0) for s in sequences for part in oracle(w, s)))
    assert done.comparison.max_difference <= 1e-5 * largest
    assert done.comparison.argmax_agreement == 1.0
    assert done.ram_bytes == 4 * w.n_hidden


@needs_compiler
@pytest.mark.parametrize("bad", ["NAN", "INFINITY", "-INFINITY", "1e30f"])
def test_a_frame_that_is_not_finite_is_refused_and_the_state_kept(bad, tmp_path):
    w, sequences = make("whole")
    write(tmp_path, w, sequences, quantize="none")
    program = build(tmp_path, f"""
#include <math.h>
#include <string.h>
#include "kws.h"
int main(void)
{{
    kws_state state, before;
    float x[KWS_INPUTS];
    int i;
    for (i = 0; i < KWS_INPUTS; i++)
        x[i] = 20.0f + (float)i / 8.0f;
    kws_init(&state);
    if (kws_step(&state, x) != 0)
        return 1;
    before = state;
    x[KWS_INPUTS - 1] = {bad};
    if (kws_step(&state, x) != -1)
        return 2;
    return memcmp(&before, &state, sizeof state) == 0 ? 0 : 3;
}}
""", "kws.c")
    assert run(program).returncode == 0


def test_tanh_and_sigmoid_have_the_cores_constants():
    text = (ROOT / "runtime" / "src" / "fastgrnn_math.h").read_text()
    defined = dict(re.findall(r"#define EDGE_(\w+) (\S+)", text))
    assert {name.lower(): defined[name.upper()] for name in c_source.EXP_CONSTANTS} == \
        c_source.EXP_CONSTANTS
    template = (c_source.TEMPLATES / "fastgrnn_float.c").read_text()
    assert template.count(defined["EXP2_MAGIC"]) == 2
    assert set(re.findall(r"12\d\.0f", template)) == {defined["EXP2_LARGEST"]}


def test_weights_whose_sums_leave_float32_are_refused(tmp_path):
    w, sequences = make("whole")
    huge = (np.full_like(w.w[0], 1e30),)
    with pytest.raises(UnsupportedModel, match="float32"):
        write(tmp_path, dataclasses.replace(w, w=huge), sequences, quantize="none")
    assert list(tmp_path.iterdir()) == []


def test_a_float_constant_gives_its_bits_back():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 32, 2000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([values[np.isfinite(values)],
                             np.float32([0, -0.0, 1, -1, 1e-45, 3.4e38, 1e7, 123456.0])])
    for value in values:
        text = c_source.float_literal(value)
        assert re.fullmatch(r"-?\d+\.\d+(e[+-]\d+)?f", text)
        assert np.float32(text[:-1]).tobytes() == value.tobytes()


# --- the API ----------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("form", ["int8", "none"])
def test_the_api_answers_as_the_header_says(form, tmp_path):
    w, sequences = make("low-rank", c=3)
    write(tmp_path, w, sequences, quantize=form)
    program = build(tmp_path, """
#include <stdio.h>
#include "kws.h"
int main(void)
{
    kws_state a, b;
    kws_logit logits[KWS_CLASSES];
    kws_input x[KWS_INPUTS] = {0};
    int i, best = 0;
    kws_init(&a);
    kws_init(&b);
    for (i = 0; i < 5; i++)
        if (kws_step(&a, x) != 0)
            return 1;
    kws_step(&b, x); /* a state of its own */
    best = kws_result(&a, logits);
    for (i = 0; i < KWS_CLASSES; i++)
        if (logits[i] > logits[best] || (logits[i] == logits[best] && i < best))
            return 2;
    if (kws_result(&a, NULL) != best)
        return 3;
    for (i = 0; i < 4; i++)
        kws_step(&b, x);
    for (i = 0; i < KWS_HIDDEN; i++)
        if (a.h[i] != b.h[i])
            return 4;
    kws_init(&a);
    for (i = 0; i < KWS_HIDDEN; i++)
        if (a.h[i] != 0)
            return 5;
    printf("[%s][%s][%s][%s]", kws_label(0), kws_label(2), kws_label(-1), kws_label(3));
    return kws_selftest();
}
""", "kws.c")
    done = run(program)
    assert (done.returncode, done.stdout) == (0, b"[0][2][][]")


LABELS = ("plain", 'quo"te', "back\\slash\\", "tri??/graph??=", "n\u00e9e", "\u65e5\u672c",
          "new\nline", "%s", "*/ /*", "\u00e97", "")


@needs_compiler
@pytest.mark.parametrize("flags", [[], ["-trigraphs", "-Wno-trigraphs"]])
def test_labels_come_out_as_they_went_in(flags, tmp_path):
    w, sequences = make("low-rank", c=len(LABELS), labels=LABELS)
    write(tmp_path, w, sequences)
    program = build(tmp_path, """
#include <stdio.h>
#include "kws.h"
int main(void)
{
    int i;
    for (i = 0; i < KWS_CLASSES; i++)
        printf("%s%c", kws_label(i), '\\0');
    return 0;
}
""", "kws.c", flags=flags)
    assert run(program).stdout.decode().split("\0")[:-1] == list(LABELS)


def test_a_label_with_a_zero_in_it_is_refused():
    with pytest.raises(UnsupportedModel, match="zero"):
        c_source.c_string("a\0b")


def test_a_comment_can_not_be_ended_from_within():
    text = c_source.comment(["*/ int x; /*", "tri??/", "back\\", "n\u00e9e"])
    assert not re.search(r"\*/|/\*|\?\?|\\", text)
    assert text.isascii()


@needs_compiler
def test_two_models_fit_into_one_program_of_c_or_cpp(tmp_path):
    for name, form in (("first", "int8"), ("second", "none")):
        w, sequences = make("sparse")
        write(tmp_path, w, sequences, name=name, quantize=form)
    source = ('#include "first.h"\n#include "second.h"\n'
              "int main(void) { return first_selftest() + second_selftest(); }\n")
    assert run(build(tmp_path, source, "first.c", "second.c")).returncode == 0
    if shutil.which("g++"):
        (tmp_path / "main.cpp").write_text(source)
        objects = []
        for name in ("first", "second"):
            objects.append(tmp_path / f"{name}.o")
            compile_c(["gcc"], [tmp_path / f"{name}.c"], objects[-1], ["-c"])
        compile_c(["g++"], [tmp_path / "main.cpp", *objects], tmp_path / "main",
                             ["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        assert run(tmp_path / "main").returncode == 0


@needs_compiler
def test_a_macro_leaves_the_golden_vectors_out(tmp_path):
    w, sequences = make("low-rank")
    write(tmp_path, w, sequences)
    source = '#include "kws.h"\nint main(void) { kws_state s; kws_init(&s); return s.h[0]; }\n'
    program = build(tmp_path, source, "kws.c", flags=["-DKWS_NO_SELFTEST"])
    assert run(program).returncode == 0
    assert b"selftest" not in program.read_bytes()


@needs_compiler
@pytest.mark.parametrize("form", ["int8", "none"])
def test_the_self_test_notices_a_changed_weight(form, tmp_path):
    w, sequences = make("low-rank")
    write(tmp_path, w, sequences, quantize=form)
    source = (tmp_path / "kws.c").read_text()
    kind, one = ("int8_t", "64") if form == "int8" else ("float", "1.0f")
    begin = rf"(static const {kind} head\[.*\] = \{{\n    )"
    changed = re.sub(rf"{begin}[^,]+,", rf"\g<1>{one},", source)
    assert changed != source
    (tmp_path / "kws.c").write_text(changed)
    main = '#include "kws.h"\nint main(void) { return kws_selftest(); }\n'
    assert run(build(tmp_path, main, "kws.c")).returncode == 1


# --- nothing is written unproved --------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("form", ["int8", "none"])
def test_c_that_computes_something_else_is_not_written(form, tmp_path, monkeypatch):
    bodies = c_source.INTEGER_BODIES if form == "int8" else c_source.FLOAT_BODIES
    monkeypatch.setitem(bodies, "tanh", bodies["tanh"].replace("value", "value + 1"))
    (tmp_path / "kws.c").write_text("what was there before")
    w, sequences = make("low-rank")
    with pytest.raises(ComparisonError, match="self-test"):
        write(tmp_path, w, sequences, quantize=form)
    assert [p.name for p in tmp_path.iterdir()] == ["kws.c"]
    assert (tmp_path / "kws.c").read_text() == "what was there before"


@needs_compiler
@pytest.mark.parametrize("form", ["int8", "none"])
def test_a_difference_that_the_self_test_does_not_see_is_found(form, tmp_path, monkeypatch):
    real, calls = to_c._expected, []

    def other(*arguments):
        inputs, expected = real(*arguments)
        calls.append(form)
        last = expected[-1].states.copy()
        last[-1, -1] += 1 if form == "int8" else 1e-4
        return inputs, [*expected[:-1], dataclasses.replace(expected[-1], states=last)]

    monkeypatch.setattr(to_c, "_expected", other)
    w, sequences = make("low-rank")
    with pytest.raises(ComparisonError, match="no file was written"):
        write(tmp_path, w, sequences, quantize=form)
    assert calls
    assert list(tmp_path.iterdir()) == []


@needs_compiler
def test_c_that_does_not_compile_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(c_source.INTEGER_BODIES, "tanh", "return undeclared;")
    w, sequences = make("low-rank")
    with pytest.raises(ComparisonError, match="compiles"):
        write(tmp_path, w, sequences)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["int8", "none"])
def test_without_a_compiler_the_result_and_the_file_say_that_nothing_was_proved(
        form, tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(c_compiler.shutil, "which", lambda command: None)
    w, sequences = make("low-rank")
    done = write(tmp_path, w, sequences, quantize=form)
    assert (done.comparison, done.compiler, done.footprint) == (None, None, None)
    assert any("not proved" in notice for notice in done.notices)
    assert "Proved     NOTHING" in done.header.read_text()


def test_a_missing_folder_is_said_before_any_work(tmp_path):
    w, sequences = make("low-rank")
    with pytest.raises(OutputError, match="writable output folder"):
        to_c.to_c(w, tmp_path / "absent" / "kws.c", name="kws", sequences=sequences)


# --- bad input --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["int", "class", "float", "9lives", "a-b", "", "_x", "a__b",
                                  "n\u00e9e", "a b", "x" * 49, "a\nb", "a;"])
def test_a_name_that_is_none_in_c_is_refused(name, tmp_path):
    w, sequences = make("low-rank")
    with pytest.raises(UnsupportedModel, match="C identifier"):
        write(tmp_path, w, sequences, name=name)


@pytest.mark.parametrize(("text", "name"), [
    ("fastgrnn-digits-speech", "fastgrnn_digits_speech"), ("kws:make.it", "kws_make_it"),
    ("8khz", "model_8khz"), ("int", "model_int"), ("--a--", "a"), ("x" * 60, "x" * 48),
])
def test_a_models_name_becomes_an_identifier(text, name):
    assert c_source.c_name(text) == name


def test_a_name_of_nothing_but_signs_is_refused():
    with pytest.raises(UnsupportedModel):
        c_source.c_name("--")


@pytest.mark.parametrize("file", ["kws.h", "kws", 'a"b.c', "a b.c", "harness.c", "n\u00e9e.c"])
def test_a_path_that_no_include_can_name_is_refused(file, tmp_path):
    w, sequences = make("low-rank")
    with pytest.raises(UnsupportedModel, match="`out`"):
        to_c.to_c(w, tmp_path / file, name="kws", sequences=sequences)


@pytest.mark.parametrize("bad", [
    [], [np.zeros((0, 32), np.float32)], [np.zeros((5, 31), np.float32)],
    [np.full((5, 32), np.nan, np.float32)], [[1.0, 2.0]],
])
def test_sequences_that_the_model_can_not_take_are_refused(bad, tmp_path):
    w, _ = make("low-rank")
    with pytest.raises(ShapeError, match="`sequences`"):
        write(tmp_path, w, bad)


def test_an_unknown_form_and_integers_as_floats_are_refused(tmp_path):
    w, sequences = make("low-rank")
    with pytest.raises(UnsupportedModel, match="none or int8"):
        write(tmp_path, w, sequences, quantize="int4")
    with pytest.raises(UnsupportedModel, match="pass its Weights"):
        write(tmp_path, quantize(w, features=None), sequences, quantize="none")


def test_templates_keep_what_a_model_has():
    template = "a\n@if x@\n@v@1\n@end@\n@if y@\nno\n@end@\n    @empty@\nb"
    assert c_source.render(template, {"v": "V", "empty": ""}, {"x"}) == "a\nV1\nb\n"
