"""Exporters: a torch model to ExecuTorch, LiteRT or ONNX, one file each.

Each `to_<target>.py` offers `lower(request) -> Lowered`. An exporter knows the
nested modules of `edge_sdk.nn.matformer` and nothing else of the model.
"""
