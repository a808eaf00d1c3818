"""Exporters: a torch model to ExecuTorch, LiteRT or ONNX, one file each; some also to C.

Each `to_<target>.py` offers `lower(request) -> Lowered`. An exporter knows the
nested modules of `edge_sdk.nn.matformer` and nothing else of the model. Recurrent models
have exporters of their own in `sequences/`, and `to_c.py`; plain MLPs `mlp_to_c.py`.
"""
