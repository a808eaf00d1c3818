// Codes of classes and items.
#include <algorithm>
#include <optional>
#include <tuple>

#include "bind.h"

namespace {

Out<int64_t, 1> to_ids(const uint32_t *ids, size_t n) {
    Buffer<int64_t> out(n);
    for (size_t i = 0; i < n; i++)
        out.get()[i] = ids[i] == EDGE_NONE ? -1 : static_cast<int64_t>(ids[i]);
    return out.vector(n);
}

class Llc {
    template <typename F>
    auto ordered(const In<float, 2> &scores, F &&decode) const {
        const size_t n = scores.shape(0);
        if (scores.shape(1) != file_.bits) check(EDGE_ERR_ARGUMENT);
        Buffer<edge_ordered> found(n);
        check(free_of_gil([&] { return decode(found.get()); }));
        Buffer<int64_t> ids(n);
        Buffer<uint32_t> lookups(n);
        Buffer<uint8_t> met(n);
        Buffer<double> penalties(n);
        for (size_t i = 0; i < n; i++) {
            const edge_ordered &one = found.get()[i];
            ids.get()[i] = one.id == EDGE_NONE ? -1 : static_cast<int64_t>(one.id);
            lookups.get()[i] = one.lookups;
            met.get()[i] = static_cast<uint8_t>(one.met);
            penalties.get()[i] = one.penalty;
        }
        return std::make_tuple(ids.vector(n), penalties.vector(n), lookups.vector(n),
                               met.vector(n));
    }

  public:
    Llc(In<uint8_t, 1> bytes, bool verify) : bytes_(bytes) {
        edge_status status;
        {
            nb::gil_scoped_release free;
            status = edge_llc_open(bytes_.data(), bytes_.size(),
                                   verify ? 0 : EDGE_UNVERIFIED, &file_);
        }
        check(status);
    }

    std::optional<uint32_t> get(uint64_t word) const {
        uint32_t id = EDGE_NONE;
        check(edge_ed_decode(&file_, &word, 1, &id));
        if (id == EDGE_NONE) return std::nullopt;
        return id;
    }

    Out<int64_t, 1> ed(In<uint64_t, 1> words) const {
        Buffer<uint32_t> ids(words.size());
        check(free_of_gil([&] {
            return edge_ed_decode(&file_, words.data(), words.size(), ids.get());
        }));
        return to_ids(ids.get(), words.size());
    }

    Out<int64_t, 1> mhd(In<uint64_t, 1> words, int plan) const {
        Buffer<uint32_t> ids(words.size());
        check(free_of_gil([&] {
            return edge_mhd_decode(&file_, words.data(), words.size(),
                                   static_cast<edge_mhd_plan>(plan), ids.get());
        }));
        return to_ids(ids.get(), words.size());
    }

    auto mhd_margin(In<uint64_t, 1> words) const {
        const size_t n = words.size();
        Buffer<edge_nearest> found(n);
        check(free_of_gil([&] {
            return edge_mhd_decode_margin(&file_, words.data(), n, found.get());
        }));
        Buffer<int64_t> ids(n);
        Buffer<int32_t> distances(n), runners_up(n);
        for (size_t i = 0; i < n; i++) {
            const edge_nearest &one = found.get()[i];
            ids.get()[i] = one.id == EDGE_NONE ? -1 : static_cast<int64_t>(one.id);
            distances.get()[i] = static_cast<int32_t>(one.distance);
            runners_up.get()[i] = static_cast<int32_t>(one.runner_up);
        }
        return std::make_tuple(ids.vector(n), distances.vector(n), runners_up.vector(n));
    }

    auto ord(In<float, 2> scores, uint32_t max_lookups, int fallback) const {
        const size_t size = edge_ord_workspace_size(max_lookups);
        Buffer<uint64_t> workspace(size / sizeof(uint64_t) + 1);
        return ordered(scores, [&](edge_ordered *out) {
            return edge_ord_decode(&file_, scores.data(), scores.shape(0), max_lookups,
                                   static_cast<edge_fallback>(fallback), workspace.get(), size,
                                   out);
        });
    }

    auto soft(In<float, 2> scores) const {
        return ordered(scores, [&](edge_ordered *out) {
            return edge_soft_decode(&file_, scores.data(), scores.shape(0), out);
        });
    }

    auto search(In<uint64_t, 2> queries, size_t k, uint64_t begin, uint64_t end) const {
        const size_t n = queries.shape(0), words = file_.bits <= 64 ? 1 : file_.bits / 64;
        if (queries.shape(1) != words) check(EDGE_ERR_ARGUMENT);
        const size_t size = edge_search_workspace_size(n, k);
        const size_t found = end > begin && end - begin < k ? static_cast<size_t>(end - begin) : k;
        Buffer<uint64_t> workspace(size / sizeof(uint64_t) + 1);
        Buffer<edge_hit> hits(n * k);
        check(free_of_gil([&] {
            return edge_search(&file_, queries.data(), n, k, begin, end, hits.get(),
                               workspace.get(), size);
        }));
        Buffer<int64_t> ids(n * found);
        Buffer<int32_t> distances(n * found);
        for (size_t q = 0; q < n; q++)
            for (size_t i = 0; i < found; i++) {
                ids.get()[q * found + i] = static_cast<int64_t>(hits.get()[q * k + i].id);
                distances.get()[q * found + i] =
                    static_cast<int32_t>(hits.get()[q * k + i].distance);
            }
        return std::make_tuple(ids.array<2>({n, found}), distances.array<2>({n, found}));
    }

    // (offset, size, width) of a section, or None.
    std::optional<std::tuple<uint64_t, uint64_t, uint32_t>> section(const std::string &tag) const {
        for (uint32_t i = 0; i < file_.n_sections; i++) {
            const edge_section &one = file_.sections[i];
            if (tag.size() == 4 && tag_of(tag) == one.tag)
                return std::make_tuple(one.offset, one.size, one.width);
        }
        return std::nullopt;
    }

    const edge_llc &file() const { return file_; }

  private:
    In<uint8_t, 1> bytes_; // keeps the Python buffer alive
    edge_llc file_;
};

using Bytes = Out<uint8_t, 1>;
using Codes = In<uint64_t, 1>;

Bytes build_exact(Codes codes, uint32_t bits, bool keep_lowest) {
    const uint32_t n = static_cast<uint32_t>(codes.size());
    const size_t capacity = edge_exact_size(n, bits), scratch = edge_exact_workspace_size(n);
    Buffer<uint8_t> section(capacity);
    Buffer<uint32_t> workspace(scratch / sizeof(uint32_t) + 1);
    size_t written = 0;
    uint32_t twins[2] = {0, 0};
    edge_status status;
    {
        nb::gil_scoped_release free;
        status = edge_exact_build(codes.data(), n, bits, keep_lowest, section.get(), capacity,
                                  &written, workspace.get(), scratch, twins);
    }
    check(status);
    return section.vector(written);
}

Bytes build_nearest(Codes codes, uint32_t bits) {
    const uint32_t n = static_cast<uint32_t>(codes.size());
    const size_t size = edge_nearest_size(n, bits), scratch = edge_nearest_workspace_size(bits);
    Buffer<uint32_t> section(size / sizeof(uint32_t) + 1);
    Buffer<uint8_t> workspace(scratch);
    uint8_t *bytes = reinterpret_cast<uint8_t *>(section.get());
    check(edge_nearest_build(codes.data(), n, bits, bytes, size, workspace.get(), scratch));
    Buffer<uint8_t> out(size);
    std::copy(bytes, bytes + size, out.get());
    return out.vector(size);
}

Bytes build_filter(Codes codes, uint32_t bits) {
    const uint32_t n = static_cast<uint32_t>(codes.size());
    const size_t size = edge_filter_size(n, bits);
    Buffer<uint8_t> section(size);
    check(edge_filter_build(codes.data(), n, bits, section.get(), size));
    return section.vector(size);
}

Bytes build_multi(Codes codes, uint32_t bits) {
    const uint32_t n = static_cast<uint32_t>(codes.size());
    const size_t size = edge_multi_size(n, bits);
    // Allocated as words: new[] of bytes promises no alignment of its own.
    Buffer<uint32_t> section(size / sizeof(uint32_t) + 1);
    uint8_t *bytes = reinterpret_cast<uint8_t *>(section.get());
    check(edge_multi_build(codes.data(), n, bits, bytes, size));
    Buffer<uint8_t> out(size);
    std::copy(bytes, bytes + size, out.get());
    return out.vector(size);
}

} // namespace

void bind_codes(nb::module_ &m) {
    m.attr("LOOKUPS_MAX") = EDGE_LOOKUPS_MAX;

    nb::class_<Llc>(m, "Llc", nb::is_weak_referenceable(), "An opened .llc file.")
        .def(nb::init<In<uint8_t, 1>, bool>(), nb::arg("bytes"), nb::arg("verify") = true)
        .def_prop_ro("kind", [](const Llc &self) { return self.file().kind; })
        .def_prop_ro("bits", [](const Llc &self) { return self.file().bits; })
        .def("__len__", [](const Llc &self) { return self.file().n; })
        .def_prop_ro("mhd_plan", [](const Llc &self) {
            return static_cast<int>(edge_mhd_choose(&self.file()));
        })
        .def_prop_ro("auto_lookups",
                     [](const Llc &self) { return edge_ord_choose(&self.file()); })
        .def("section", &Llc::section, nb::arg("tag"))
        .def("get", &Llc::get, nb::arg("word"),
             "Return the id of the class whose code `word` is, or None: ED of one word.")
        .def("ed", &Llc::ed, nb::arg("words").noconvert())
        .def("mhd", &Llc::mhd, nb::arg("words").noconvert(), nb::arg("plan"))
        .def("mhd_margin", &Llc::mhd_margin, nb::arg("words").noconvert())
        .def("ord", &Llc::ord, nb::arg("scores").noconvert(), nb::arg("max_lookups"),
             nb::arg("fallback"))
        .def("soft", &Llc::soft, nb::arg("scores").noconvert())
        .def("scan", &Llc::search, nb::arg("queries").noconvert(), nb::arg("k"), nb::arg("begin"),
             nb::arg("end"));

    m.def("build_exact", &build_exact, nb::arg("codes"), nb::arg("bits"), nb::arg("keep_lowest"));
    m.def("build_nearest", &build_nearest, nb::arg("codes"), nb::arg("bits"));
    m.def("build_filter", &build_filter, nb::arg("codes"), nb::arg("bits"));
    m.def("build_multi", &build_multi, nb::arg("codes"), nb::arg("bits"));
}
