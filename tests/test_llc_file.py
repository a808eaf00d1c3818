"""The .llc file: what is saved comes back, and no damaged byte gets past the door."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edge_sdk import _native, corefile
from edge_sdk.codes import CodeIndex, InstanceIndex
from edge_sdk.errors import CodeError, FormatError, OutputError, ShapeError, VersionError

ONES = (1 << 64) - 1
HEAD, ENTRY = 64, 32
AT_VERSION, AT_DIGEST = 8, 56


# ---- the digest's oracle: XXH64, seed 0, after its specification ------------------------


P1, P2, P3, P4, P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                      0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotate(x, by):
    return (x << by | x >> 64 - by) & ONES


def step(lane, word):
    return rotate(lane + word * P2 & ONES, 31) * P1 & ONES


def xxh64(data):
    """XXH64 as slowly as it is written down; `xxhash.xxh64_intdigest` where it is installed."""
    lanes = [P1 + P2 & ONES, P2, 0, -P1 & ONES]
    whole = len(data) // 32 * 32
    for words in struct.iter_unpack("<4Q", data[:whole]):
        lanes = [step(lane, word) for lane, word in zip(lanes, words, strict=True)]
    total = P5
    if whole:
        total = sum(rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            total = ((total ^ step(0, lane)) * P1 + P4) & ONES
    total = total + len(data) & ONES
    rest = data[whole:]
    while len(rest) >= 8:
        total = (rotate(total ^ step(0, int.from_bytes(rest[:8], "little")), 27) * P1 + P4) & ONES
        rest = rest[8:]
    if len(rest) >= 4:
        word = int.from_bytes(rest[:4], "little")
        total = (rotate(total ^ word * P1 & ONES, 23) * P2 + P3) & ONES
        rest = rest[4:]
    for byte in rest:
        total = rotate(total ^ byte * P5 & ONES, 11) * P1 & ONES
    total = (total ^ total >> 33) * P2 & ONES
    total = (total ^ total >> 29) * P3 & ONES
    return total ^ total >> 32


def digest_of(data, *cuts):
    digest = _native.Digest()
    for piece in np.split(np.frombuffer(data, np.uint8), cuts):
        digest.add(np.ascontiguousarray(piece))
    return digest.value()


@pytest.mark.parametrize(("data", "value"), [
    (b"", 0xEF46DB3751D8E999), (b"a", 0xD24EC4F1A98C6E5B), (b"abc", 0x44BC2CF5AD770999),
], ids=["of nothing", "of a", "of abc"])
def test_the_oracle_gives_the_published_digests(data, value):
    assert xxh64(data) == value


def test_digests_are_xxh64_in_whatever_pieces_the_bytes_come():
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    for size in [*range(101), 1000]:
        part = data[:size]
        assert digest_of(part) == xxh64(part)
        assert digest_of(part, size // 3, size // 2, size // 2 + 1) == xxh64(part)
    try:
        import xxhash
    except ImportError:
        return
    assert xxhash.xxh64_intdigest(data) == xxh64(data)


# ---- samples ------------------------------------------------------------------------------


def words(bits, n, seed=0):
    return np.random.default_rng(seed).integers(0, (1 << bits) - 1, n, np.uint64, endpoint=True)


def narrow():
    return CodeIndex.build(words(20, 30), bits=20, decoders=("ed",))


def wide():
    return CodeIndex.build(words(64, 9), bits=64, labels=[f"class {i}" for i in range(9)],
                           multi=True, prefixes=(32,), provenance={"run": "a"},
                           calibration=(np.ones(64), np.zeros(64)))


def items():
    table = np.random.default_rng(1).integers(0, 2, (11, 128)).astype(np.int8)
    return InstanceIndex.build(table, ids=np.arange(11, dtype=np.uint64) + np.uint64(2**63))


SAMPLES = [pytest.param(make, id=make.__name__) for make in (narrow, wide, items)]


def aligned(data):
    """A writable copy, 64-byte aligned as a mapped file is."""
    room = np.zeros(len(data) + 64, np.uint8)
    start = -room.ctypes.data % 64
    room[start : start + len(data)] = np.frombuffer(bytes(data), np.uint8)
    return room[start : start + len(data)]


def bytes_of(index, tmp_path):
    if isinstance(index, CodeIndex):
        index.save(tmp_path / "sample.llc")
        return aligned((tmp_path / "sample.llc").read_bytes())
    return aligned(index._data.tobytes())


def sealed(data, sections):
    """`data` with the digest that its head and table now have."""
    head = data[:AT_DIGEST].tobytes() + data[HEAD : HEAD + ENTRY * sections].tobytes()
    data[AT_DIGEST:HEAD] = np.frombuffer(struct.pack("<Q", xxh64(head)), np.uint8)
    return data


def refused(kind, data, *, verify=True):
    """Whether opening is refused, with an error that says what was expected."""
    try:
        kind(data, verify=verify)
    except FormatError as error:
        return str(error).startswith("expected ") and "\nhint: " in str(error)
    return False


# ---- there and back -----------------------------------------------------------------------


def test_a_saved_index_answers_as_the_built_one_did(tmp_path):
    codes = words(64, 200)
    made = CodeIndex.build(codes, bits=64, multi=True, labels=[str(i) for i in range(200)])
    made.save(tmp_path / "x.llc")
    queries = np.concatenate([codes, codes ^ np.uint64(5), words(64, 50, 1)])
    scores = np.random.default_rng(2).normal(size=(20, 64)).astype(np.float32)
    for verify in (True, False):
        index = CodeIndex.open(tmp_path / "x.llc", verify=verify)
        assert np.array_equal(index.decode_ed(queries), made.decode_ed(queries))
        for plan in ("auto", "scan", "ball", "multi"):
            assert np.array_equal(index.decode_mhd(queries, plan=plan), made.decode_mhd(queries))
        assert np.array_equal(index.decode_ord(scores).ids, made.decode_ord(scores).ids)
        assert index.labels == made.labels
        index.save(tmp_path / "again.llc")
        assert (tmp_path / "again.llc").read_bytes() == (tmp_path / "x.llc").read_bytes()


def test_saving_over_the_file_that_is_open_keeps_the_open_one_readable(tmp_path):
    codes = words(40, 50)
    CodeIndex.build(codes, bits=40).save(tmp_path / "x.llc")
    index = CodeIndex.open(tmp_path / "x.llc")
    CodeIndex.build(codes[::-1], bits=40).save(tmp_path / "x.llc")
    assert np.array_equal(index.decode_ed(codes), np.arange(50))
    assert CodeIndex.open(tmp_path / "x.llc").decode_ed(codes).tolist() == list(range(49, -1, -1))


def test_files_begin_with_the_magic_and_sections_are_aligned():
    data = wide()._data
    assert data[:8].tobytes() == b"\x89LLC\r\n\x1a\n"
    entries = corefile.table(data)
    assert [entry.tag for entry in entries] == ["EXCT", "FILT", "MIHT", "CODE", "CALB", "labl",
                                                "note"]
    assert all(entry.offset % 64 == 0 for entry in entries)
    for entry in entries:
        content = data[entry.offset : entry.offset + entry.size].tobytes()
        assert entry.digest == xxh64(content)
        assert wide().section(entry.tag) == (entry.offset, entry.size, entry.width)
    assert entries[-1].offset + entries[-1].size == data.size
    assert struct.unpack_from("<Q", data.tobytes(), AT_DIGEST)[0] == xxh64(
        data[:AT_DIGEST].tobytes() + data[HEAD : HEAD + ENTRY * len(entries)].tobytes())
    assert wide().section("none") is None
    assert wide().section("much too long") is None


# ---- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", SAMPLES)
def test_every_single_flipped_bit_is_refused(make, tmp_path):
    index = make()
    data = bytes_of(index, tmp_path)
    type(index)(data)
    passed = []
    for at in range(len(data)):
        for bit in range(8):
            data[at] ^= 1 << bit
            if not refused(type(index), data):
                passed.append((at, bit))
            data[at] ^= 1 << bit
    assert passed == []


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("make", SAMPLES)
def test_every_truncation_is_refused_verified_or_not(make, verify, tmp_path):
    index = make()
    data = bytes_of(index, tmp_path)
    passed = [size for size in range(len(data))
              if not refused(type(index), aligned(data[:size]), verify=verify)]
    assert passed == []
    longer = aligned(data.tobytes() + b"\0")
    assert refused(type(index), longer, verify=verify)


@pytest.mark.parametrize("make", SAMPLES)
def test_every_flipped_bit_of_head_and_table_is_refused_unverified_too(make, tmp_path):
    index = make()
    data = bytes_of(index, tmp_path)
    for bit in range(8 * (HEAD + ENTRY * len(corefile.table(data)))):
        data[bit // 8] ^= 1 << bit % 8
        assert refused(type(index), data, verify=False), bit
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("content", [b"", b"\x89LLC", b"no index at all" * 100, b"\0" * 4096])
@pytest.mark.parametrize("kind", [CodeIndex, InstanceIndex])
def test_other_files_are_refused(kind, content, tmp_path):
    (tmp_path / "x.llc").write_bytes(content)
    with pytest.raises(FormatError, match=r"expected an? .*file"):
        kind.open(tmp_path / "x.llc")


@pytest.mark.parametrize("kind", [CodeIndex, InstanceIndex])
def test_no_file_a_folder_and_an_empty_file_are_refused_by_name(kind, tmp_path):
    (tmp_path / "empty.llc").touch()
    for name, why in (("empty.llc", "an empty file"), ("missing.llc", "No such file"), (".", "")):
        with pytest.raises(FormatError, match=why) as caught:
            kind.open(tmp_path / name)
        assert str(tmp_path) in caught.value.where


def test_a_file_of_the_other_kind_is_refused_with_the_class_that_opens_it(tmp_path):
    wide().save(tmp_path / "classes.llc")
    with pytest.raises(FormatError, match="open it with CodeIndex"):
        InstanceIndex.open(tmp_path / "classes.llc")
    with pytest.raises(FormatError, match="open it with InstanceIndex"):
        CodeIndex(items()._data)


def test_bytes_of_any_kind_are_opened_and_what_are_none_is_refused():
    whole = narrow()._data
    scattered = np.repeat(whole, 2)[::2]
    for data in (whole.tobytes(), bytearray(whole.tobytes()), memoryview(whole), scattered):
        assert np.array_equal(CodeIndex(data).decode_ed(words(20, 30)), np.arange(30))
    for kind in (CodeIndex, InstanceIndex):
        for data in (whole.astype(np.int32), whole[None], "x.llc", None, [1, 2]):
            with pytest.raises(ShapeError, match="a file's bytes"):
                kind(data)


# ---- other writers ------------------------------------------------------------------------


def with_section(tag, content=b"anything"):
    codes = words(40, 7)
    parts = [corefile.section("CODE", codes),
             corefile.section("EXCT", _native.build_exact(codes, 40, False)),
             corefile.section(tag, np.frombuffer(content, np.uint8))]
    return codes, corefile.pack(corefile.CLASSES, 40, 7, parts)


@pytest.mark.parametrize("tag", ["xtra", "a\0\0\0", "zzzz", "0000"])
def test_an_unknown_section_whose_tag_begins_in_lowercase_is_passed_over(tag):
    codes, data = with_section(tag)
    index = CodeIndex(data)
    assert np.array_equal(index.decode_ed(codes), np.arange(7))
    assert (index.labels, index.prefixes, index.provenance) == (None, (), {})
    assert index.at(bits=40).decode_ed(codes).tolist() == list(range(7))


@pytest.mark.parametrize("verify", [True, False])
def test_an_unknown_section_whose_tag_begins_in_uppercase_needs_a_newer_version(verify):
    with pytest.raises(VersionError, match="update edge-inference-sdk"):
        CodeIndex(with_section("XTRA")[1], verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("make", SAMPLES)
def test_a_newer_version_is_refused_as_such(make, verify, tmp_path):
    index = make()
    data = bytes_of(index, tmp_path)
    n_sections = len(corefile.table(data))
    type(index)(sealed(data, n_sections))  # the seal is the one it has
    data[AT_VERSION] += 1
    assert refused(type(index), data)
    with pytest.raises(VersionError, match="of this version or older"):
        type(index)(sealed(data, n_sections), verify=verify)


@pytest.mark.parametrize(("tag", "content"), [
    ("labl", b"[1, 2"), ("labl", b"{}"), ("labl", b'["a"]'), ("labl", b"\xff\xfe"),
    ("labl", b"[" * 100_000),
])
def test_labels_that_are_no_list_of_as_many_names_are_refused(tag, content):
    index = CodeIndex(with_section(tag, content)[1])
    with pytest.raises(FormatError, match=f"section {tag}"):
        _ = index.labels


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b"{", b"\xff"])
def test_notes_that_are_no_object_are_refused(content):
    with pytest.raises(FormatError, match="section note"):
        CodeIndex(with_section("note", content)[1])


@pytest.mark.parametrize("tag", ["EXCT", "FILT", "NEAR", "MIHT", "CALB", "ITID", "CODE"])
@pytest.mark.parametrize("size", [0, 1, 8, 63, 4096])
def test_a_section_of_another_shape_is_refused_though_its_digest_is_right(tag, size):
    for kind, opener in ((corefile.CLASSES, CodeIndex), (corefile.INSTANCES, InstanceIndex)):
        part = corefile.Section(tag, 1, size, [np.zeros(size, np.uint8)])
        data = corefile.pack(kind, 40, 7, [part])
        if tag == "FILT" and kind == corefile.CLASSES and size in (1, 8, 4096):
            opener(data)  # any power of two is a filter
            continue
        assert refused(opener, data)
        assert refused(opener, data, verify=False)


def test_a_file_of_more_sections_than_a_head_holds_is_not_written():
    parts = [corefile.section(f"s{i:03}", np.zeros(1, np.uint8)) for i in range(17)]
    with pytest.raises(Exception, match="arguments within range"):
        corefile.pack(corefile.CLASSES, 8, 0, parts)
    corefile.pack(corefile.CLASSES, 8, 0, parts[:16])


# ---- unverified ---------------------------------------------------------------------------


def every_answer(index):
    """All ids that a damaged index of classes gives, or nothing where it refuses."""
    queries = np.concatenate([words(index.bits, 5, 3), np.array([0], np.uint64)])
    scores = np.random.default_rng(4).normal(size=(3, index.bits)).astype(np.float32)
    found = []
    for call in (
        lambda: index.decode_ed(queries), lambda: index.nearest(queries).ids,
        lambda: index.decode_mhd(queries), lambda: index.decode_mhd(queries, plan="scan"),
        lambda: index.decode_mhd(queries, plan="ball"), lambda: index.search(queries, 4).ids,
        lambda: index.decode_mhd(queries, plan="multi"), lambda: index.decode_ord(scores).ids,
        lambda: index.decode_mhd(queries, plan="table"), lambda: index.decode_soft(scores).ids,
        lambda: index.decode_ord(scores, max_lookups=40, fallback="mhd").ids,
    ):
        try:
            found.append(call().reshape(-1))
        except (CodeError, FormatError):
            continue
    return np.concatenate(found)


@pytest.mark.parametrize("bits", [9, 20, 24, 40, 64])
def test_a_damaged_index_of_classes_opened_unverified_answers_in_range(bits):
    codes = np.unique(words(bits, 60))
    made = CodeIndex.build(codes, bits=bits, multi=True, labels=["x"] * len(codes),
                           calibration=(np.ones(bits), np.zeros(bits)))
    whole = aligned(made._data.tobytes())
    rng = np.random.default_rng(bits)
    answered = 0
    for entry in corefile.table(whole):
        for turn in range(12):
            data = aligned(whole)
            section = data[entry.offset : entry.offset + entry.size]
            if turn == 0:
                section[:] = 0xFF
            elif turn == 1:
                section[:] = rng.integers(0, 256, section.size)
            else:
                at = rng.integers(0, section.size, 3)
                section[at] ^= rng.integers(1, 256, 3).astype(np.uint8)
            assert refused(CodeIndex, data)
            try:
                index = CodeIndex(data, verify=False)
                ids = every_answer(index)
                _ = index.labels, index.prefixes, index.provenance, index.codes
            except FormatError:
                continue
            answered += 1
            assert ids.min() >= -1
            assert ids.max() < len(codes)
    assert answered > 20


@pytest.mark.parametrize("bits", [9, 20, 32, 40, 64, 128, 256])
def test_a_damaged_index_of_items_opened_unverified_answers_in_range(bits):
    rng = np.random.default_rng(bits)
    table = rng.integers(0, 2, (50, bits)).astype(np.int8)
    queries = rng.integers(0, 2, (4, bits)).astype(np.int8)
    made = InstanceIndex.build(table, ids=np.arange(50))
    for entry in corefile.table(made._data)[:1]:
        for byte in (0xFF, 0x80, 0x00):
            data = aligned(made._data.tobytes())
            data[entry.offset : entry.offset + entry.size : 3] = byte
            assert refused(InstanceIndex, data)
            index = InstanceIndex(data, verify=False)
            for threads in (1, 2):
                hits = index.search(queries, 20, threads=threads)
                assert hits.ids.max() < 50
                assert hits.ids.shape == (4, 20)
                assert 0 <= hits.distances.min() <= hits.distances.max() <= max(bits, 64)


# ---- writing ------------------------------------------------------------------------------


def test_a_failing_write_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "x.llc"
    narrow().save(path)
    before = path.read_bytes()

    def pieces():
        yield np.zeros(5, np.uint8)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        corefile.stream(path, corefile.CLASSES, 20, 5,
                         [corefile.Section("CODE", 4, 20, pieces())])
    with pytest.raises(FormatError, match="20 bytes of section CODE, got 5"):
        corefile.stream(path, corefile.CLASSES, 20, 5,
                         [corefile.Section("CODE", 4, 20, [np.zeros(5, np.uint8)])])
    with pytest.raises(OutputError, match="a writable output folder"):
        corefile.stream(tmp_path / "no" / "x.llc", corefile.CLASSES, 20, 0, [])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.llc"]
