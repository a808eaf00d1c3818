"""Small MLPs as C: torch's numbers, the twin's integers, and zeros that take no bytes."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from edge_sdk.compiler import STRICT, compile_c, host_compiler  # noqa: E402
from edge_sdk.data import digits  # noqa: E402
from edge_sdk.errors import (  # noqa: E402
    CheckpointError,
    ComparisonError,
    OutputError,
    ShapeError,
    UnsupportedModel,
)
from edge_sdk.exporters import c_compiler, mlp_source, mlp_to_c  # noqa: E402
from edge_sdk.exporters.mlp_integer import quantize  # noqa: E402
from edge_sdk.exporters.mlp_layers import MLP, Layer, from_sequential, run_torch  # noqa: E402
from edge_sdk.exporters.mlp_to_c import export  # noqa: E402

FIRMWARE = Path(__file__).resolve().parent.parent / "runtime/examples/microcontroller"
FORMS = ("none", "int8")

needs_compiler = pytest.mark.skipif(host_compiler() is None, reason="no C compiler")
needs_arm = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None,
                               reason="no arm-none-eabi-gcc")
needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="no QEMU")
each_form = pytest.mark.parametrize("form", FORMS)


# --- a model of digits, nine weights in ten pruned --------------------------------------


def train(model, x, y, steps: int, masks=()) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        with torch.no_grad():
            for layer, mask in zip(layers, masks, strict=False):
                layer.weight *= mask


@pytest.fixture(scope="module")
def data():
    found = digits()
    return found, np.concatenate([found.train_images, found.test_images]).astype(np.float32) / 16


@pytest.fixture(scope="module")
def pruned(data):
    """Return an MLP 64-64-32-10; the smallest 90 % of each matrix are zero."""
    torch.manual_seed(0)
    found, everything = data
    x = torch.from_numpy(everything[: len(found.train_labels)])
    y = torch.from_numpy(found.train_labels)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32),
                          nn.ReLU(), nn.Linear(32, 10))
    train(model, x, y, 100)
    masks = []
    for layer in (model[1], model[3], model[5]):
        size = layer.weight.detach().abs()
        masks.append(size > size.flatten().kthvalue(int(0.9 * size.numel())).values)
    train(model, x, y, 300, masks)
    return model.eval()


@pytest.fixture(scope="module")
def written(pruned, data, tmp_path_factory):
    """Return the exports of both forms, and of the same model made dense."""
    folder = tmp_path_factory.mktemp("digits")
    return {form: export(pruned, folder / f"digits_{form}.c", samples=data[1], quantize=form,
                         labels=list("0123456789")) for form in FORMS}


def answers(done, model, inputs) -> tuple[np.ndarray, np.ndarray]:
    """Compile a written model once more, and return what it gives for inputs."""
    folder = done.path.parent / "again"
    folder.mkdir(exist_ok=True)
    harness = mlp_source.render(
        (mlp_source.TEMPLATES / "mlp_harness.c").read_text(),
        {"name": done.name, "NAME": done.name.upper(), "header": done.header.name}, set())
    (folder / "harness.c").write_text(harness)
    compile_c(["cc"], [done.path, folder / "harness.c"], folder / done.name,
                         [*STRICT, f"-I{done.path.parent}"])
    out = c_compiler.run_program(folder / done.name, inputs.tobytes())
    return mlp_to_c.read(out, model, len(inputs))


@needs_compiler
def test_float32_in_c_is_within_1e_5_of_torch_on_all_digits(written, pruned, data):
    outputs, classes = answers(written["none"], from_sequential(pruned), data[1].reshape(-1, 64))
    with torch.no_grad():
        want = pruned(torch.from_numpy(data[1])).numpy()
    assert len(outputs) == 1797
    assert np.abs(outputs - want).max() <= 1e-5 * np.abs(want).max()
    assert np.array_equal(classes, outputs.argmax(-1))


@needs_compiler
def test_integers_in_c_are_the_twins_on_all_digits(written, pruned, data):
    rows = data[1].reshape(-1, 64)
    twin = quantize(from_sequential(pruned), rows)
    x = twin.quantize_input(rows)
    outputs, classes = answers(written["int8"], twin, x)
    assert len(outputs) == 1797
    assert np.array_equal(outputs, twin.run(x))
    assert np.array_equal(classes, twin.run(x).argmax(-1))
    assert written["int8"].comparison.n == 1797
    assert written["int8"].comparison.max_difference == 0.0


def test_integers_cost_at_most_half_a_point_of_accuracy(pruned, data):
    found, everything = data
    rows = everything.reshape(-1, 64)
    twin = quantize(from_sequential(pruned), rows[: len(found.train_labels)])
    for part, labels in ((slice(len(found.train_labels)), found.train_labels),
                         (slice(len(found.train_labels), None), found.test_labels)):
        integers = (twin.run(twin.quantize_input(rows[part])).argmax(-1) == labels).mean()
        real = (run_torch(pruned, everything[part]).argmax(-1) == labels).mean()
        assert real > 0.9
        assert abs(integers - real) <= 0.005


def test_nine_zeros_in_ten_take_a_fraction_of_the_bytes(written):
    for form, most in (("none", 0.15), ("int8", 0.29)):
        done = written[form]
        assert {layer.form for layer in done.layers} == {"sparse8"}
        assert all(layer.n_zeros >= 0.9 * layer.rows.size - 1 for layer in done.layers)
        assert done.n_bytes < most * done.dense_bytes
    integers, floats = written["int8"], written["none"]
    # A value, a delta, and a count for each row.
    assert integers.layers[0].n_bytes == 2 * integers.layers[0].n_entries + 64
    assert floats.layers[0].n_bytes == 5 * floats.layers[0].n_entries + 64


def test_the_header_says_of_each_layer_its_zeros_and_why_it_is_stored_so(written):
    text = written["int8"].header.read_text()
    first = written["int8"].layers[0]
    assert f"Layer 1 (1)  64 -> 64, relu; {first.n_zeros} of 4096 weights are zero" in text
    assert f"sparse, deltas of 8 bits: {first.n_entries} entries, 0 of them bridges" in text
    assert f"(dense 4096 B, pairs {first.n_bytes} B)" in text
    assert f"Constants  {written['int8'].n_bytes} B" in text
    assert max(map(len, text.splitlines())) <= 100


# --- on a microcontroller ---------------------------------------------------------------

MAIN = """
#include "digits_int8.h"
#include "semihosting.h"

#define OPEN(name, mode) semihosting_open(name, sizeof(name) - 1, mode)

static digits_int8_state state;
static digits_int8_input x[DIGITS_INT8_INPUTS];

int main(void)
{
    const int32_t in = OPEN("input.bin", SEMIHOSTING_READ);
    const int32_t out = OPEN("answers.bin", SEMIHOSTING_WRITE);
    if (in < 0 || out < 0 || digits_int8_selftest(&state) != 0)
        return 1;
    digits_int8_init(&state);
    while (semihosting_read(in, x, sizeof x)) {
        int32_t found;
        if (digits_int8_run(&state, x) != 0)
            return 1;
        found = digits_int8_result(&state, NULL);
        if (!semihosting_write(out, state.outputs, sizeof state.outputs) ||
            !semihosting_write(out, &found, sizeof found))
            return 1;
    }
    return semihosting_close(out) ? 0 : 1;
}
"""


def load_board():
    spec = importlib.util.spec_from_file_location("mlp_microcontroller_run", FIRMWARE / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@needs_arm
@needs_qemu
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3"])
def test_a_microcontroller_gives_the_twins_integers_on_all_digits(
    core, written, pruned, data, tmp_path
):
    board = next(c.board for c in load_board().CORES if c.name == core)
    rows = data[1].reshape(-1, 64)
    twin = quantize(from_sequential(pruned), rows)
    x = twin.quantize_input(rows)
    (tmp_path / "input.bin").write_bytes(x.tobytes())
    (tmp_path / "main.c").write_text(MAIN)
    sources = [FIRMWARE / "start.c", FIRMWARE / "semihosting.c", tmp_path / "main.c",
               written["int8"].path]
    limits = [f"-Wl,--defsym={limit}" for limit in
              ("FLASH_BYTES=8192", "RAM_BYTES=1536", "STACK_BYTES=512")]
    compile_c(["arm-none-eabi-gcc"], sources, tmp_path / "firmware.elf", [
        f"-mcpu={core}", "-mthumb", "-Os", "-std=c99", "-ffreestanding", "-Wall", "-Wextra",
        "-Wpedantic", "-Werror", "-fno-tree-loop-distribute-patterns", f"-I{FIRMWARE}",
        f"-I{written['int8'].path.parent}", "-T", str(FIRMWARE / "firmware.ld"), *limits,
        "-nostdlib", "-Wl,--orphan-handling=error", "-fno-unwind-tables",
        "-fno-asynchronous-unwind-tables"])
    ended = subprocess.run([
        "qemu-system-arm", "-M", board, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-kernel", "firmware.elf",
    ], cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert ended.returncode == 0
    outputs, classes = mlp_to_c.read((tmp_path / "answers.bin").read_bytes(), twin, len(x))
    assert np.array_equal(outputs, twin.run(x))
    assert np.array_equal(classes, outputs.argmax(-1))


# --- models of all kinds ----------------------------------------------------------------


def sequential(sizes, *, density=1.0, after=nn.ReLU, seed=0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), after()]
        with torch.no_grad():
            layers[-2].weight *= torch.rand(n_out, n_in) < density
    return nn.Sequential(*layers[:-1]).eval()


def far_apart(n_in: int, columns: list[int]) -> nn.Sequential:
    model = sequential((n_in, 3, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        for row in range(3):
            model[0].weight[row, columns] = torch.linspace(0.5, 1.0, len(columns)) + row
    return model


def normalized() -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 9, bias=False), nn.BatchNorm1d(9),
        nn.ReLU(), nn.Dropout(), nn.BatchNorm1d(9, affine=False),
        nn.Sequential(nn.Linear(9, 7), nn.ReLU6(), nn.ReLU(), nn.Identity()), nn.Linear(7, 5))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.2, 3.0)
                if layer.affine:
                    layer.weight.normal_()
                    layer.bias.normal_()
        model[2].weight *= torch.rand(9, 12) < 0.2
    return model.eval()


def ending_in(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*sequential((6, 5, 4), density=0.3), activation()).eval()


def with_a_layer_of_zeros() -> nn.Sequential:
    model = sequential((8, 6, 4, 3))
    with torch.no_grad():
        model[2].weight.zero_()
    return model


MODELS = {
    "dense": lambda: sequential((20, 16, 8, 4)),
    "sparse": lambda: sequential((40, 30, 20, 10), density=0.1),
    "relu6": lambda: sequential((20, 16, 4), after=nn.ReLU6),
    "one layer": lambda: sequential((7, 3)),
    "one of each": lambda: sequential((1, 1)),
    "no activation": lambda: sequential((9, 5, 3), after=nn.Identity),
    "ends in relu": lambda: ending_in(nn.ReLU),
    "ends in relu6": lambda: ending_in(nn.ReLU6),
    "a layer of zeros": with_a_layer_of_zeros,
    "batch normalization": normalized,
    "bridges": lambda: far_apart(900, [3, 300, *range(310, 320)]),
    "16-bit deltas": lambda: far_apart(5000, [0, 2000, 4999]),
    "beyond 16 bits": lambda: far_apart(140_000, [1, 70_000, 139_999]),
    "many pairs in a row": lambda: sequential((3000, 5, 2), density=0.15),
}
STORED = {"dense": "dense", "sparse": "sparse8", "a layer of zeros": "dense",
          "bridges": "sparse8", "16-bit deltas": "sparse16", "beyond 16 bits": "sparse16"}


def samples_of(model: nn.Sequential, n=20) -> np.ndarray:
    n_in = next(m for m in model.modules() if isinstance(m, nn.Linear)).in_features
    return np.random.default_rng(3).normal(size=(n, n_in)).astype(np.float32)


@needs_compiler
@each_form
@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_gives_what_torch_or_the_twin_gives(kind, form, tmp_path):
    model = MODELS[kind]()
    samples = samples_of(model)
    done = export(model, tmp_path / "m.c", samples=samples, quantize=form)
    assert done.comparison.n == len(samples)
    assert done.comparison.max_difference <= (1e-5 * max(1, np.abs(run_torch(model, samples)).max())
                                              if form == "none" else 0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.c", "m.h"]
    assert done.layers[0].form == STORED.get(kind, done.layers[0].form)
    if form == "int8":
        # int8 weights: a few hundredths of the outputs' range.
        assert done.rounding.max_difference <= 0.04 * np.abs(run_torch(model, samples)).max()


@needs_compiler
@pytest.mark.parametrize(("kind", "compiler"), [
    *((kind, "gcc") for kind in MODELS if kind != "beyond 16 bits"),
    ("sparse", "clang"), ("16-bit deltas", "clang")])
@each_form
def test_the_sanitizers_find_nothing_on_the_hardest_inputs(kind, form, compiler, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    mlp = from_sequential(MODELS[kind]())
    rng, real = np.random.default_rng(1), samples_of(MODELS[kind]())
    if form == "int8":
        model = quantize(mlp, real)
        drive = np.where(model.layers[0].q[0] > 0, 32767, -32768)
        x = np.concatenate([rng.integers(-32768, 32768, (20, mlp.n_inputs)),
                            rng.choice([-32768, 32767], (20, mlp.n_inputs)),
                            [drive, -1 - drive]]).astype(np.int16)
        expected = model.run(x)
    else:
        model, x = mlp, real
        expected = mlp.activations(x)[-1]
    files = mlp_source.generate(model, mlp_source.store(model), name="m", header="m.h", labels=(),
                                golden=mlp_source.Golden(x[:2], expected[:2].astype(
                                    np.int32 if form == "int8" else np.float32), 1e-3), facts=[])
    for name, text in (("m.h", files.header), ("m.c", files.source), ("main.c", files.harness)):
        (tmp_path / name).write_text(text)
    compile_c([compiler], [tmp_path / "m.c", tmp_path / "main.c"], tmp_path / "main", [
        "-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror",
        "-fsanitize=undefined,address", "-fno-sanitize-recover=all"])
    ran = c_compiler.run_program(tmp_path / "main", x.tobytes())
    outputs, _ = mlp_to_c.read(ran, model, len(x))
    if form == "int8":
        assert np.array_equal(outputs, expected)
    else:
        assert np.allclose(outputs, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@needs_arm
@pytest.mark.parametrize("kind", ["dense", "sparse", "relu6", "16-bit deltas"])
@pytest.mark.parametrize("optimize", ["-Os", "-O3"])
def test_a_microcontroller_needs_no_library_for_the_integers(kind, optimize, tmp_path):
    model = MODELS[kind]()
    done = export(model, tmp_path / "m.c", samples=samples_of(model), quantize="int8")
    compile_c(["arm-none-eabi-gcc"], [done.path], tmp_path / "m.o",
                         ["-mcpu=cortex-m0plus", "-mthumb", optimize, "-std=c99", "-Wall",
                          "-Wextra", "-Wpedantic", "-Werror", "-c"])
    symbols = subprocess.run(["arm-none-eabi-nm", "-u", str(tmp_path / "m.o")],
                             capture_output=True, text=True, check=True).stdout
    assert symbols == ""
    code = re.sub(r"/\*.*?\*/", "", done.path.read_text(), flags=re.DOTALL)
    assert not re.search(r"float|double|long|int64|\d\.\d", code)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pairs_give_the_rows_back_whatever_the_gaps(draw):
    n_in, n_out = draw.draw(st.sampled_from([1, 3, 256, 257, 70_000])), draw.draw(st.integers(1, 4))
    rows = np.zeros((n_out, n_in), np.int8)
    for row in rows:
        columns = draw.draw(st.lists(st.integers(0, n_in - 1), max_size=5))
        row[columns] = draw.draw(st.integers(1, 127))
    for bits in (8, 16):
        pairs = mlp_source.sparse_rows(rows, delta_bits=bits)
        again, at = np.zeros_like(rows), 0
        for k, count in enumerate(pairs.counts):
            column = 0
            for value, delta in zip(pairs.values[at : at + count].tolist(),
                                    pairs.deltas[at : at + count].tolist(), strict=True):
                column += delta
                assert column < n_in
                again[k, column] += value
            at += count
        assert np.array_equal(again, rows)
        assert at == len(pairs.values) == len(pairs.deltas)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(-12, 12), st.integers(-6, 8))
def test_a_layer_of_integers_is_within_its_rounding_of_the_real_one(seed, gain, lift):
    rng = np.random.default_rng(seed)
    n_in, n_out = rng.integers(1, 30, 2)
    weight = rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < rng.random()) * 2.0**gain
    bias = rng.normal(size=n_out) * 2.0**lift
    mlp = MLP((Layer("0", weight.astype(np.float32), bias.astype(np.float32)),))
    x = rng.normal(size=(30, n_in)).astype(np.float32)
    model = quantize(mlp, x)
    made = model.run(model.quantize_input(x)) * 2.0**-model.output_bits
    # Half a step of each weight and of each input, two of the output's.
    steps = np.abs(weight).max(1) / 127 * 2
    bound = (np.abs(x).sum(1)[:, None] * steps / 2
             + (np.abs(weight).sum(1) + n_in * steps) * 2.0**-model.input_bits / 2
             + 2 * 2.0**-model.output_bits)
    # A bias that needs most of 32 bits takes bits from the weights of its row.
    coarse = np.abs(x).sum(1)[:, None] * np.abs(bias) * 2.0 ** (2 - 30 + model.input_bits)
    assert (np.abs(made - mlp.activations(x)[-1]) <= bound + coarse + np.abs(bias) * 1e-6).all()


# --- the API ----------------------------------------------------------------------------


@needs_compiler
@each_form
def test_the_api_answers_as_the_header_says(form, tmp_path):
    model = sequential((6, 5, 3), density=0.5)
    done = export(model, tmp_path / "my-model.c", samples=samples_of(model), quantize=form,
                  labels=["a", 'quo"te', "n\u00e9e"])
    assert done.name == "my_model"
    (tmp_path / "main.c").write_text(f"""
#include <stdio.h>
#include <string.h>
#include "my-model.h"
int main(void)
{{
    static my_model_state a, b;
    my_model_output outputs[MY_MODEL_OUTPUTS];
    my_model_input x[MY_MODEL_INPUTS] = {{0}};
    int best, i;
    if (my_model_size() != {done.ram_bytes} || sizeof a != {done.ram_bytes})
        return 1;
    if (my_model_selftest(&a) != 0)
        return 2;
    my_model_init(&a);
    if (my_model_result(&a, outputs) != 0 || outputs[2] != 0)
        return 3;
    x[0] = 1;
    if (my_model_run(&a, x) != 0 || my_model_run(&b, x) != 0)
        return 4;
    best = my_model_result(&a, outputs);
    for (i = 0; i < MY_MODEL_OUTPUTS; i++)
        if (outputs[i] > outputs[best] || outputs[i] != b.outputs[i])
            return 5;
    if (my_model_result(&a, NULL) != best)
        return 6;
    printf("[%s][%s][%s][%s]", my_model_label(1), my_model_label(2), my_model_label(3),
           my_model_label(-1));
    return 0;
}}
""")
    compile_c(["cc"], [tmp_path / "main.c", done.path], tmp_path / "main")
    ran = subprocess.run([str(tmp_path / "main")], capture_output=True, check=False, timeout=60)
    assert ran.returncode == 0
    assert ran.stdout.decode() == '[quo"te][n\u00e9e][][]'


@needs_compiler
@pytest.mark.parametrize("bad", ["NAN", "INFINITY", "-INFINITY", "1e30f"])
def test_an_input_that_is_not_finite_is_refused_and_the_state_kept(bad, tmp_path):
    model = sequential((6, 5, 3), density=0.5)
    done = export(model, tmp_path / "m.c", samples=samples_of(model))
    (tmp_path / "main.c").write_text(f"""
#include <math.h>
#include <string.h>
#include "m.h"
int main(void)
{{
    static m_state state, before;
    float x[M_INPUTS] = {{1.0f, 2.0f}};
    if (m_run(&state, x) != 0)
        return 1;
    before = state;
    x[0] = 3.0f;
    x[M_INPUTS - 1] = {bad};
    if (m_run(&state, x) != -1)
        return 2;
    return memcmp(&before, &state, sizeof state) == 0 ? 0 : 3;
}}
""")
    compile_c(["cc"], [tmp_path / "main.c", done.path], tmp_path / "main")
    assert subprocess.run([str(tmp_path / "main")], check=False, timeout=60).returncode == 0


@needs_compiler
@each_form
def test_the_self_test_notices_a_changed_weight(form, tmp_path):
    model = sequential((6, 5, 3))
    done = export(model, tmp_path / "m.c", samples=samples_of(model), quantize=form)
    one = "64" if form == "int8" else "1.0f"
    text = done.path.read_text()
    changed = re.sub(r"(layer2\[3 \* 5\] = \{\n    )[^,]+,", rf"\g<1>{one},", text)
    assert changed != text
    done.path.write_text(changed)
    (tmp_path / "main.c").write_text('#include "m.h"\nstatic m_state s;\n'
                                     "int main(void) { return m_selftest(&s); }\n")
    compile_c(["cc"], [tmp_path / "main.c", done.path], tmp_path / "main")
    assert subprocess.run([str(tmp_path / "main")], check=False, timeout=60).returncode == 1


# --- nothing is written unproved --------------------------------------------------------


@needs_compiler
@each_form
def test_c_that_computes_something_else_is_not_written(form, tmp_path, monkeypatch):
    steps = mlp_source._steps
    monkeypatch.setattr(mlp_source, "_steps",
                        lambda *a: steps(*a).replace("layer1_bias[i]", "1 + layer1_bias[0]"))
    (tmp_path / "m.c").write_text("what was there before")
    model = sequential((6, 5, 3))
    with pytest.raises(ComparisonError):
        export(model, tmp_path / "m.c", samples=samples_of(model), quantize=form)
    assert [path.name for path in tmp_path.iterdir()] == ["m.c"]
    assert (tmp_path / "m.c").read_text() == "what was there before"


@needs_compiler
def test_a_wrong_output_that_the_self_test_does_not_see_is_found(tmp_path, monkeypatch):
    task = mlp_to_c._task

    def other(*arguments):
        made = task(*arguments)
        made.expected[1, 0] += 1  # not among the golden
        return made

    monkeypatch.setattr(mlp_to_c, "_task", other)
    model = sequential((6, 5, 3))
    with pytest.raises(ComparisonError, match="bit for bit"):
        export(model, tmp_path / "m.c", samples=samples_of(model), quantize="int8")
    assert list(tmp_path.iterdir()) == []


@each_form
def test_without_a_compiler_the_result_and_the_file_say_that_nothing_was_proved(
    form, tmp_path, monkeypatch
):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(c_compiler.shutil, "which", lambda command: None)
    model = sequential((6, 5, 3))
    done = export(model, tmp_path / "m.c", samples=samples_of(model), quantize=form)
    assert (done.comparison, done.compiler, done.footprint) == (None, None, None)
    assert any("not proved" in notice for notice in done.notices)
    assert "Proved     NOTHING" in done.header.read_text()


# --- bad input --------------------------------------------------------------------------


class Thresholded(nn.Linear):
    """A Linear whose forward computes with other weights than it stores."""


@pytest.mark.parametrize(("layer", "told"), [
    (nn.Sigmoid(), "Sigmoid"), (nn.Conv1d(5, 5, 1), "Conv1d"), (nn.Flatten(), "Flatten"),
    (Thresholded(5, 5), "Thresholded"), (nn.LayerNorm(5), "LayerNorm"),
    (nn.BatchNorm1d(5, track_running_stats=False), "BatchNorm1d"),
])
def test_a_layer_that_is_not_known_is_named(layer, told, tmp_path):
    model = nn.Sequential(nn.Linear(6, 5), nn.Sequential(layer), nn.Linear(5, 3)).eval()
    with pytest.raises(UnsupportedModel, match=rf"got {told} - at layer '1.0'"):
        export(model, tmp_path / "m.c", samples=samples_of(model))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("layers", "told"), [
    ([], "a Linear or more"), ([nn.ReLU(), nn.Linear(6, 3)], "activation after a Linear"),
    ([nn.Linear(6, 3), nn.ReLU(), nn.BatchNorm1d(3)], "a Linear right before or after"),
    ([nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)], "activation after a Linear"),
    ([nn.Flatten(0), nn.Linear(6, 3)], "in front of everything"),
    ([nn.Linear(6, 3).double()], "float32 weights"),
])
def test_layers_that_can_not_be_read_or_folded_are_refused(layers, told, tmp_path):
    with pytest.raises(UnsupportedModel, match=told):
        export(nn.Sequential(*layers).eval(), tmp_path / "m.c",
               samples=np.ones((2, 6), np.float32))


def test_training_mode_hooks_and_other_modules_are_refused(tmp_path):
    samples = np.ones((2, 6), np.float32)
    for model, told in ((nn.Sequential(nn.Linear(6, 3)), "eval mode"),
                        (nn.Linear(6, 3).eval(), "an nn.Sequential")):
        with pytest.raises(UnsupportedModel, match=told):
            export(model, tmp_path / "m.c", samples=samples)
    masked = nn.Sequential(nn.Linear(6, 3)).eval()
    prune.l1_unstructured(masked[0], "weight", 0.5)
    with pytest.raises(UnsupportedModel, match=r"prune\.remove"):
        export(masked, tmp_path / "m.c", samples=samples)
    prune.remove(masked[0], "weight")
    assert export(masked, tmp_path / "m.c", samples=samples).layers[0].n_zeros == 9


@each_form
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_weights_that_are_not_finite_are_refused_by_layer(part, bad, form, tmp_path):
    model = sequential((6, 5, 3))
    with torch.no_grad():
        getattr(model[2], part).view(-1)[0] = bad
    with pytest.raises(CheckpointError, match="layer '2'"):
        export(model, tmp_path / "m.c", samples=samples_of(model), quantize=form)
    assert list(tmp_path.iterdir()) == []


def test_sums_that_32_bits_or_float32_can_not_hold_are_refused(tmp_path):
    wide = sequential((3000, 2))
    with torch.no_grad():
        wide[0].weight.fill_(1.0)
    with pytest.raises(UnsupportedModel, match="layer '0'"):
        export(wide, tmp_path / "m.c", samples=samples_of(wide), quantize="int8")
    with torch.no_grad():
        wide[0].weight.fill_(1e30)
    with pytest.raises(UnsupportedModel, match="float32"):
        export(wide, tmp_path / "m.c", samples=samples_of(wide) * 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [
    np.ones((0, 6), np.float32), np.ones((2, 5), np.float32), np.ones((2, 6)),
    np.full((2, 6), np.nan, np.float32), np.ones(6, np.float32), [[1.0] * 6], None,
])
def test_samples_that_the_model_can_not_take_are_refused(bad, tmp_path):
    with pytest.raises(ShapeError, match="`samples`"):
        export(sequential((6, 3)), tmp_path / "m.c", samples=bad)


def test_bad_options_and_places_are_refused(tmp_path):
    model = sequential((6, 3))
    samples = samples_of(model)
    for kind, told, path, options in (
        (UnsupportedModel, "none or int8", "m.c", {"quantize": "int4"}),
        (UnsupportedModel, "C identifier", "m.c", {"name": "int"}),
        (UnsupportedModel, "`out`", "m.h", {}),
        (ShapeError, "3 labels", "m.c", {"labels": ["a"]}),
        (UnsupportedModel, "zero", "m.c", {"labels": ["a", "b\0", "c"]}),
        (OutputError, "folder", "absent/m.c", {}),
    ):
        with pytest.raises(kind, match=told):
            export(model, tmp_path / path, samples=samples, **options)
    assert list(tmp_path.iterdir()) == []
