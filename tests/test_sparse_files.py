"""Compact forms of sparse weights in .tflite and .onnx, run on the engines themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.containers import KEY, read_metadata, seal, verify
from edge_sdk.errors import FormatError, UnsupportedModel

pytest.importorskip("torch")
pytest.importorskip("ai_edge_litert")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.exporters import tflite_file
from edge_sdk.exporters.sparse.litert import compact_litert
from edge_sdk.exporters.sparse.onnx import _gaps, compact_onnx
from edge_sdk.exporters.sparse.report import to_int8

FLOAT, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8


def sparse(*shape: int, zeros: float = 0.9, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) * (1.001 - zeros))
    return (weight * (generator.random(shape) >= zeros)).astype(np.float32)


def rounded(weight: np.ndarray, axis: int | None = 0) -> np.ndarray:
    values, scale = to_int8(weight, axis)
    return values * scale


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


# --- LiteRT --------------------------------------------------------------------------


class Tflite:
    """Builds a .tflite of one graph by hand, operator by operator."""

    def __init__(self, n_rows: int, n_inputs: int) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []
        self.x = self.tensor((n_rows, n_inputs))

    def tensor(self, shape, data=None, kind=FLOAT) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type = f"t{len(self.graph.tensors)}".encode(), kind
        tensor.shape, tensor.buffer = np.array(shape, np.int32), 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def linear(self, x: int, weight: int, bias: np.ndarray | None = None, relu=False) -> int:
        n_outputs = int(self.graph.tensors[weight].shape[0])
        y = self.tensor((int(self.graph.tensors[x].shape[0]), n_outputs))
        given = [x, weight, -1 if bias is None else self.tensor(bias.shape, bias)]
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = int(relu)
        self.operator("FULLY_CONNECTED", given, y, options)
        return y

    def operator(self, name, given, y, options=None) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        operator.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        operator.inputs, operator.outputs = np.array(given, np.int32), np.array([y], np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def bytes(self, y: int) -> bytes:
        self.graph.inputs, self.graph.outputs = np.array([self.x]), np.array([y])
        return tflite_file.pack(self.model)


def linear_file(weight: np.ndarray, n_rows: int = 1, bias: bool = True) -> bytes:
    file = Tflite(n_rows, weight.shape[1])
    return file.bytes(file.linear(file.x, file.tensor(weight.shape, weight),
                                  inputs(len(weight)) if bias else None, relu=True))


def run_tflite(content: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def operators(content: bytes) -> list[str]:
    names = {v: k for k, v in vars(schema.BuiltinOperator).items()}
    model = tflite_file.read(content)
    return [names[model.operatorCodes[operator.opcodeIndex].builtinCode]
            for graph in model.subgraphs for operator in graph.operators]


def index_bytes(content: bytes) -> list[int]:
    """Return how many bytes a column index of each sparse tensor takes."""
    kinds = {schema.SparseIndexVector.Uint8Vector: 1, schema.SparseIndexVector.Uint16Vector: 2,
             schema.SparseIndexVector.Int32Vector: 4}
    return [kinds[tensor.sparsity.dimMetadata[-1].arrayIndicesType]
            for graph in tflite_file.read(content).subgraphs for tensor in graph.tensors
            if tensor.sparsity is not None]


@pytest.mark.parametrize("zeros", [0.6, 0.9, 0.98])
@pytest.mark.parametrize(("shape", "n_rows"), [((64, 200), 1), ((300, 512), 1), ((300, 512), 5),
                                               ((96, 521), 1), ((96, 521), 3), ((520, 36), 2)])
def test_a_matrix_rebuilt_by_litert_gives_the_dense_file_s_outputs(shape, n_rows, zeros):
    weight = sparse(*shape, zeros=zeros)
    x, dense = inputs(n_rows, shape[1]), linear_file(weight, n_rows)
    small, report = compact_litert(dense)
    assert len(small) < len(dense) == report["bytes_before"]
    assert report["bytes_after"] == len(small)
    np.testing.assert_allclose(run_tflite(small, x), run_tflite(dense, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("shape", "n_rows"), [((300, 512), 1), ((300, 512), 5), ((96, 521), 3)])
def test_int8_values_give_what_the_rounded_weights_give(shape, n_rows):
    weight = sparse(*shape)
    weight[3] *= 1000  # one scale for all rows would round the others to nothing
    weight[5] = 0
    x = inputs(n_rows, shape[1])
    small, report = compact_litert(linear_file(weight, n_rows), values="int8")
    expected = run_tflite(linear_file(rounded(weight), n_rows), x)
    np.testing.assert_allclose(run_tflite(small, x), expected, rtol=1e-6, atol=1e-6)
    assert report["layers"][0]["form"] == "densify int8"
    assert "DEQUANTIZE" in operators(small)


def test_a_row_wider_than_a_byte_s_reach_is_cut_into_pieces_for_one_input():
    dense = linear_file(sparse(64, 600))
    small, _ = compact_litert(dense)
    assert operators(small) == ["DENSIFY", "RESHAPE", "CONV_2D", "RESHAPE"]
    assert index_bytes(small) == [1]
    several, _ = compact_litert(linear_file(sparse(64, 600), 2))
    assert operators(several) == ["DENSIFY", "FULLY_CONNECTED"]


@pytest.mark.parametrize(("shape", "n_bytes"), [((300, 256), 1), ((300, 257), 2), ((300, 521), 2),
                                                ((4, 70001), 4)])
def test_columns_get_the_narrowest_index_that_reaches_them(shape, n_bytes):
    weight = sparse(*shape, zeros=0.95)
    weight[0, -1] = 1
    dense, x = linear_file(weight, 3), inputs(3, shape[1])
    small, _ = compact_litert(dense)
    assert index_bytes(small) == [n_bytes]
    np.testing.assert_allclose(run_tflite(small, x), run_tflite(dense, x), rtol=1e-5, atol=1e-5)


def test_a_matrix_of_zeros_gives_its_bias():
    for values in ("float32", "int8"):
        small, report = compact_litert(linear_file(np.zeros((64, 128), np.float32)),
                                       values=values)
        assert report["layers"][0]["entries"] == 1
        expected = np.maximum(inputs(64), 0)[None]
        np.testing.assert_array_equal(run_tflite(small, inputs(1, 128)), expected)


def test_a_dense_matrix_is_left_alone():
    dense = linear_file(sparse(64, 128, zeros=0))
    small, report = compact_litert(dense)
    assert small == dense
    assert report["form"] == report["layers"][0]["form"] == "dense"
    assert report["layers"][0]["zeros"] == 0
    # So is one with fewer zeros than asked for, and one too small to gain.
    assert compact_litert(linear_file(sparse(64, 128)), least_zeros=0.99)[1]["form"] == "dense"
    assert compact_litert(linear_file(sparse(4, 16)))[1]["form"] == "dense"


def test_a_matrix_used_twice_is_stored_and_rebuilt_once():
    file = Tflite(1, 300)
    weight = file.tensor((300, 300), sparse(300, 300))
    hidden = file.linear(file.x, weight, inputs(300), relu=True)
    dense = file.bytes(file.linear(hidden, weight, inputs(300)))
    small, report = compact_litert(dense)
    assert len(report["layers"]) == 1
    assert operators(small).count("DENSIFY") == 1
    x = inputs(1, 300)
    np.testing.assert_allclose(run_tflite(small, x), run_tflite(dense, x), rtol=1e-6, atol=1e-6)


def test_a_matrix_that_another_operator_reads_too_is_left_alone():
    file = Tflite(64, 64)
    weight = file.tensor((64, 64), sparse(64, 64))
    total = file.tensor((64, 64))
    file.operator("ADD", [file.linear(file.x, weight), weight], total, schema.AddOptionsT())
    assert compact_litert(file.bytes(total))[1]["layers"][0]["form"] == "dense"


def test_a_matrix_without_a_bias_keeps_its_operator():
    dense = linear_file(sparse(64, 600), bias=False)
    small, _ = compact_litert(dense)
    x = inputs(1, 600)
    assert operators(small) == ["DENSIFY", "FULLY_CONNECTED"]
    np.testing.assert_allclose(run_tflite(small, x), run_tflite(dense, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("activations", "words"), [
    (FLOAT, "INT8 weights beside float activations, which LiteRT does not load"),
    (INT8, "INT8 weights - at"),
])
def test_a_tflite_in_int8_is_refused(activations, words):
    file = Tflite(1, 64)
    file.graph.tensors[file.x].type = activations
    weight = file.tensor((64, 64), np.zeros((64, 64), np.int8), INT8)
    with pytest.raises(UnsupportedModel, match=words):
        compact_litert(file.bytes(file.linear(file.x, weight)))


def test_a_compact_tflite_is_refused():
    with pytest.raises(UnsupportedModel, match="a dense file, got a compact one"):
        compact_litert(compact_litert(linear_file(sparse(64, 600)))[0])


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff\xff\xff\x7fTFL3" + b"\xff" * 64])
def test_bytes_that_are_no_tflite_are_refused(content):
    with pytest.raises(FormatError, match=r"a \.tflite"):
        compact_litert(content)


@pytest.fixture(scope="module")
def converted() -> tuple[bytes, np.ndarray]:
    """Two signatures over shared convolutions, 90 % zeros but in the stem."""
    import litert_torch
    import torch
    from torch import nn

    from edge_sdk.exporters.to_litert import quiet

    def head(n_channels: int) -> nn.Sequential:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_channels, 64))

    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 48, 3, 1, 1),
                         nn.ReLU(), nn.Conv2d(48, 24, 3, 2, 1), nn.ReLU())
    small = nn.Sequential(stem, head(24)).eval()
    large = nn.Sequential(stem, nn.Conv2d(24, 320, 1), nn.ReLU(), head(320)).eval()
    layers = (stem[2], stem[4], large[1], large[3][2], small[1][2])
    for seed, layer in enumerate(layers):
        layer.weight.data = torch.from_numpy(sparse(*layer.weight.shape, seed=seed))
    x = torch.from_numpy(inputs(1, 3, 12, 12))
    with quiet():
        content = (litert_torch.signature("S", small, (x,)).signature("XL", large, (x,))
                   .convert().model_content())
    return content, x.numpy()


def run_compiled(content: bytes, x: np.ndarray, tmp_path) -> np.ndarray:
    """Run both signatures as the engine does, over one cache of packed weights."""
    from ai_edge_litert.compiled_model import CpuOptions, HardwareAccelerator, Options

    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    cpu = CpuOptions(num_threads=1, xnnpack_weight_cache_path=":memory")
    model = CompiledModel.from_file(str(path), options=Options(
        hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu))
    outputs = []
    for signature in (0, 1, 0, 1):
        given = model.create_input_buffers(signature)
        got = model.create_output_buffers(signature)
        given[0].write(x)
        model.run_by_index(signature, given, got)
        outputs.append(got[0].read(64, np.float32))
    np.testing.assert_array_equal(outputs[:2], outputs[2:])
    return np.stack(outputs[:2])


def test_convolutions_rebuilt_by_litert_give_the_dense_file_s_outputs(converted, tmp_path):
    content, x = converted
    small, report = compact_litert(content)
    np.testing.assert_allclose(run_compiled(small, x, tmp_path),
                               run_compiled(content, x, tmp_path), rtol=1e-6, atol=1e-6)
    forms = {layer["shape"]: layer["form"] for layer in report["layers"]}
    assert forms[16, 3, 3, 3] == "dense"
    assert [form for form in forms.values() if form != "dense"] == ["densify float32"] * 5
    assert report["form"] == "litert densify float32"
    assert report["speed"] == "same as dense"


def test_signatures_share_a_compact_weight_as_they_shared_the_dense_one(converted):
    small, report = compact_litert(converted[0])
    assert [layer["shape"] for layer in report["layers"]].count((48, 3, 3, 16)) == 1
    buffers = [tensor.buffer for graph in tflite_file.read(small).subgraphs
               for tensor in graph.tensors
               if tensor.sparsity is not None and list(tensor.shape) == [48, 3, 3, 16]]
    assert len(buffers) == 2
    assert len(set(buffers)) == 1


def test_int8_convolutions_give_what_the_rounded_weights_give(converted, tmp_path):
    content, x = converted
    model = tflite_file.read(content)
    small, report = compact_litert(content, values="int8")
    names = {layer["name"] for layer in report["layers"] if layer["form"] != "dense"}
    buffers = {tensor.buffer: tensor for graph in model.subgraphs for tensor in graph.tensors
               if tensor.name.decode() in names}
    for tensor in buffers.values():
        if model.buffers[tensor.buffer].data is not None:
            data = model.buffers[tensor.buffer].data.view(np.float32).reshape(tensor.shape)
            model.buffers[tensor.buffer].data = rounded(data).reshape(-1).view(np.uint8)
    expected = run_compiled(tflite_file.pack(model), x, tmp_path)
    assert not np.array_equal(expected, run_compiled(content, x, tmp_path))
    np.testing.assert_allclose(run_compiled(small, x, tmp_path), expected, rtol=1e-5, atol=1e-6)


def test_a_tflite_s_metadata_and_signatures_survive(converted, tmp_path):
    from edge_sdk.exporters.to_litert import FlatModel

    path = tmp_path / "m.tflite"
    FlatModel(converted[0], "none", ["S", "XL"]).write(path, '{"family": "test"}')
    seal(path)
    path.write_bytes(compact_litert(path.read_bytes())[0])
    seal(path)
    verify(path)
    assert read_metadata(path) == b'{"family": "test"}'
    before, after = (Interpreter(model_content=content).get_signature_list()
                     for content in (converted[0], path.read_bytes()))
    assert before == after != {}


# --- ONNX ----------------------------------------------------------------------------


def onnx_model(nodes, weights, n_inputs=64, opset=17, shape=None, given=()):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT,
                                                   shape or [None, n_inputs]), *given],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def matmul(weight: np.ndarray, **others):
    return onnx_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight},
                      weight.shape[0], **others)


def session(content, level=None, saved=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if level is not None:
        options.graph_optimization_level = level
    if saved is not None:
        options.optimized_model_filepath = str(saved)
    content = content if isinstance(content, bytes) else content.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_onnx(content, x, level=None, **others):
    return session(content, level).run(None, {"x": x, **others})[0]


CONV = onnx_model(
    [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
     helper.make_node("Relu", ["c"], ["r"]), helper.make_node("Flatten", ["r"], ["f"]),
     helper.make_node("Gemm", ["f", "g", "b"], ["h"], transB=1),
     helper.make_node("MatMul", ["h", "m"], ["y"])],
    {"w": sparse(48, 8, 3, 3), "g": sparse(64, 48 * 16, seed=1), "b": inputs(64),
     "m": sparse(64, 80, seed=2)}, shape=[2, 8, 4, 4])


def test_weights_rebuilt_by_onnx_runtime_are_the_dense_file_s_bit_for_bit():
    x = inputs(2, 8, 4, 4)
    small, report = compact_onnx(CONV)
    assert len(small) < 0.2 * CONV.ByteSize() == 0.2 * report["bytes_before"]
    assert [layer["form"] for layer in report["layers"]] == ["gaps float32"] * 3
    assert report["speed"] == "same as dense"
    np.testing.assert_array_equal(run_onnx(small, x), run_onnx(CONV, x))


def test_weights_are_rebuilt_when_a_session_is_made_and_not_at_each_call(tmp_path):
    for values in ("float32", "int8"):
        small, _ = compact_onnx(CONV, values=values)
        session(small, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC, tmp_path / "o.onnx")
        left = {node.op_type for node in onnx.load(tmp_path / "o.onnx").graph.node}
        assert left == {node.op_type for node in CONV.graph.node}


def test_without_optimizations_the_outputs_are_still_right():
    x, off = inputs(2, 8, 4, 4), onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for values in ("float32", "int8"):
        small, _ = compact_onnx(CONV, values=values)
        np.testing.assert_allclose(run_onnx(small, x, off), run_onnx(small, x), rtol=1e-5,
                                   atol=1e-5)


def test_int8_values_have_a_scale_for_each_output_of_every_operator():
    rows = {"w": 0, "g": 0, "m": 1}
    model, expected = onnx.ModelProto(), onnx.ModelProto()
    for proto in (model, expected):
        proto.CopyFrom(CONV)
    for tensors in zip(model.graph.initializer, expected.graph.initializer, strict=True):
        name = tensors[0].name
        if name in rows:
            array = numpy_helper.to_array(tensors[0]).copy()
            array[(slice(None),) * rows[name] + (0,)] *= 100
            for tensor, value in zip(tensors, (array, rounded(array, rows[name])), strict=True):
                tensor.CopyFrom(numpy_helper.from_array(value, name))
    x = inputs(2, 8, 4, 4)
    small, _ = compact_onnx(model, values="int8")
    np.testing.assert_array_equal(run_onnx(small, x), run_onnx(expected, x))


def test_a_weight_with_two_kinds_of_rows_has_one_scale():
    weight = sparse(64, 64)
    weight[:, 0] *= 100
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]),
             helper.make_node("Gemm", ["h", "w"], ["y"], transB=1)]
    x = inputs(3, 64)
    small, report = compact_onnx(onnx_model(nodes, {"w": weight}), values="int8")
    assert len(report["layers"]) == 1
    expected = onnx_model(nodes, {"w": rounded(weight, None)})
    np.testing.assert_array_equal(run_onnx(small, x), run_onnx(expected, x))


def test_a_weight_used_within_a_branch_is_rebuilt_for_it():
    out = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    yes = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["o"])], "yes", [], out)
    no = helper.make_graph([helper.make_node("MatMul", ["x", "v"], ["o"])], "no", [], out)
    choice = helper.make_tensor_value_info("choice", TensorProto.BOOL, [])
    model = onnx_model([helper.make_node("If", ["choice"], ["y"], then_branch=yes,
                                         else_branch=no)],
                       {"w": sparse(64, 64), "v": sparse(64, 64, seed=1)}, given=[choice])
    small, report = compact_onnx(model)
    assert report["form"] == "onnx gaps float32"
    for chosen in (True, False):
        x, feed = inputs(3, 64), {"choice": np.array(chosen)}
        np.testing.assert_array_equal(run_onnx(small, x, **feed), run_onnx(model, x, **feed))


def test_a_matrix_of_zeros_and_a_dense_one_in_onnx():
    x = inputs(3, 64)
    for values in ("float32", "int8"):
        small, report = compact_onnx(matmul(np.zeros((64, 64), np.float32)), values=values)
        assert report["layers"][0]["entries"] == 1
        assert not run_onnx(small, x).any()
    small, report = compact_onnx(matmul(sparse(64, 64, zeros=0)))
    assert report["form"] == "dense"
    assert [node.op_type for node in onnx.load_from_string(small).graph.node] == ["MatMul"]


@pytest.mark.parametrize("gap", [254, 255, 256, 510, 511, 70000, 140000])
def test_a_gap_wider_than_its_integer_is_bridged(gap):
    weight = np.zeros((1000, 400), np.float32)
    weight.flat[[3, 3 + gap, 4 + gap]] = 1, 2, 3
    x = inputs(2, 1000)
    small, _ = compact_onnx(matmul(weight))
    np.testing.assert_array_equal(run_onnx(small, x), run_onnx(matmul(weight), x))


@given(places=st.sets(st.integers(0, 3000), max_size=12), dtype=st.sampled_from(["u1", "u2"]))
@settings(max_examples=60, deadline=None)
def test_gaps_and_values_hold_every_entry_in_its_place(places, dtype):
    flat = np.zeros(3001, np.float32)
    flat[list(places)] = np.arange(1, len(places) + 1)
    gaps, values = _gaps(flat, np.dtype(dtype))
    rebuilt = np.zeros_like(flat)
    for place, value in zip(np.cumsum(gaps, dtype=np.int64), values, strict=True):
        assert rebuilt[place] == 0
        rebuilt[place] = value
    np.testing.assert_array_equal(rebuilt, flat)
    assert gaps.dtype == np.dtype(dtype)


def test_what_a_caller_may_override_or_reads_otherwise_is_left_alone():
    weight = sparse(64, 64)
    optional = helper.make_tensor_value_info("w", TensorProto.FLOAT, [64, 64])
    assert compact_onnx(matmul(weight, given=[optional]))[1]["layers"] == []
    both = onnx_model([helper.make_node("MatMul", ["x", "w"], ["h"]),
                       helper.make_node("Add", ["h", "w"], ["y"])], {"w": weight})
    assert compact_onnx(both)[1]["layers"] == []


def test_an_onnx_s_metadata_survives_and_can_be_sealed_anew(tmp_path):
    model = matmul(sparse(64, 64))
    helper.set_model_props(model, {KEY: '{"family": "test"}'})
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    seal(path)
    small, _ = compact_onnx(path.read_bytes())
    path.write_bytes(small)
    seal(path)
    verify(path)
    assert read_metadata(path) == b'{"family": "test"}'
    assert session(small).get_modelmeta().custom_metadata_map == {KEY: '{"family": "test"}'}


def test_an_onnx_in_int8_is_refused(tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(matmul(sparse(64, 64)), tmp_path / "q.onnx")
    with pytest.raises(UnsupportedModel, match="a float32 file, got an operator"):
        compact_onnx((tmp_path / "q.onnx").read_bytes())


def test_a_compact_onnx_is_refused():
    with pytest.raises(UnsupportedModel, match="a dense file, got a compact one"):
        compact_onnx(compact_onnx(matmul(sparse(64, 64)))[0])


def test_an_onnx_before_cumsum_is_refused():
    with pytest.raises(UnsupportedModel, match="opset 11 or newer, got 10"):
        compact_onnx(matmul(sparse(64, 64), opset=10))


@pytest.mark.parametrize("content", [b"", b"\xff" * 64])
def test_bytes_that_are_no_onnx_are_refused(content):
    with pytest.raises(FormatError, match=r"an \.onnx"):
        compact_onnx(content)


@pytest.mark.parametrize("compact", [lambda w, **kw: compact_litert(linear_file(w), **kw),
                                     lambda w, **kw: compact_onnx(matmul(w), **kw)])
def test_a_weight_that_is_not_finite_and_unknown_options_are_refused(compact):
    weight = sparse(64, 64)
    with pytest.raises(UnsupportedModel, match="values float32 or int8, got 'int4'"):
        compact(weight, values="int4")
    with pytest.raises(UnsupportedModel, match="least_zeros from 0 to 1"):
        compact(weight, least_zeros=90)
    for bad in (np.nan, np.inf):
        weight[1, 2] = bad
        with pytest.raises(UnsupportedModel, match="finite weights"):
            compact(weight)
