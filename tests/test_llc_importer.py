"""The importer of RAIVNLab-style LLC files: nothing dropped, and zeros by a rule that is said."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.errors import CheckpointError, CodeError
from edge_sdk.importers.llc import import_llc

torch = pytest.importorskip("torch")
BITS, CLASSES, FEATURES = 20, 30, 48


@pytest.fixture
def tensors() -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv1.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "fc_lr.weight": torch.randn(BITS, FEATURES, 1, 1, generator=generator),
        "fc.weight": torch.randn(CLASSES, BITS, 1, 1, generator=generator),
    }


def test_a_checkpoint_as_published_gives_projection_codebook_and_the_whole_trunk(
    tmp_path, tensors,
):
    path = tmp_path / "model.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in tensors.items()}}, path)
    found = import_llc(path)
    assert (found.codebook == tensors["fc.weight"].numpy()[:, :, 0, 0]).all()
    assert (found.projection == tensors["fc_lr.weight"].numpy()[:, :, 0, 0]).all()
    assert list(found.trunk) == ["conv1.weight"]


def test_imported_codes_decode_to_their_rows(tmp_path, tensors):
    path = tmp_path / "model.pth"
    torch.save(tensors, path)
    found = import_llc(path)
    index = found.index()
    assert index.bits == BITS
    assert index.decode_ed(found.signs).tolist() == list(range(CLASSES))
    scores = np.random.default_rng(0).normal(size=(50, BITS)).astype(np.float32)
    best = (scores.astype(np.float64) @ found.signs.T.astype(np.float64)).argmax(1)
    assert (index.decode_ord(scores).ids == best).all()


@pytest.mark.parametrize(("zero_is", "bit"), [(1, 1), (-1, 0)])
def test_zeros_are_counted_and_follow_the_rule_that_the_provenance_names(tmp_path, zero_is, bit):
    codebook = np.array([[0.0, -1.0, 2.0], [1.0, 1.0, -0.0], [-1.0, 1.0, 1.0]])
    path = tmp_path / "codebook.npy"
    np.save(path, codebook)
    found = import_llc(path, zero_is=zero_is)
    index = found.index()
    assert found.n_zeros == 2
    assert int(index.codes[0]) & 1 == bit
    assert index.provenance == {"importer": "RAIVNLab/LLC", "zero_is": zero_is, "zeros": 2}


def test_two_classes_with_one_code_are_an_error_unless_asked_for(tmp_path):
    path = tmp_path / "codebook.npy"
    np.save(path, np.array([[0.5, -1.0], [2.0, -3.0]]))
    with pytest.raises(CodeError, match="ids 0 and 1"):
        import_llc(path).index()
    assert import_llc(path).index(duplicates="lowest").decode_ed([1]).tolist() == [0]


@pytest.mark.parametrize(("broken", "words"), [
    (lambda t: t.pop("fc_lr.weight"), "no fc_lr.weight"),
    (lambda t: t.update({"fc.weight": torch.zeros(CLASSES, BITS + 1, 1, 1)}), "bits"),
    (lambda t: t.update({"fc.weight": torch.zeros(CLASSES, BITS, 3, 3)}), "1, 1"),
    (lambda t: t["fc.weight"].fill_(float("nan")), "NaN"),
])
def test_what_is_no_llc_checkpoint_is_refused_in_words(tmp_path, tensors, broken, words):
    broken(tensors)
    path = tmp_path / "model.pth"
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=words):
        import_llc(path)


def test_a_truncated_codebook_is_refused(tmp_path):
    path = tmp_path / "codebook.npy"
    np.save(path, np.ones((4, 4)))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="npy"):
        import_llc(path)
