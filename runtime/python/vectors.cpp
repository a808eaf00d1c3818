// Matryoshka vectors of items.
#include <algorithm>
#include <optional>
#include <tuple>

#include "bind.h"

namespace {

using Queries = In<float, 2>;
using Stages = std::vector<std::tuple<uint32_t, uint32_t>>; // (dim, keep)

std::vector<edge_stage> stages_of(const Stages &stages) {
    std::vector<edge_stage> all;
    for (const auto &[dim, keep] : stages) all.push_back({dim, keep});
    return all;
}

class Vec {
    struct Room {
        explicit Room(size_t bytes) : size(bytes), words(bytes / sizeof(uint64_t) + 1) {}
        size_t size;
        Buffer<uint64_t> words;
    };

    Room workspace(size_t n_queries, size_t keep) const {
        return Room(edge_vec_workspace_size(&vec_, n_queries, keep));
    }

    size_t rows_of(const Queries &queries) const {
        if (queries.shape(1) != vec_.file.bits) check(EDGE_ERR_ARGUMENT);
        return queries.shape(0);
    }

    // Of rows of `keep` matches, the `found` that were filled.
    static auto answers(Buffer<edge_match> &matches, size_t n, size_t keep, size_t found) {
        Buffer<int64_t> ids(n * found);
        Buffer<float> scores(n * found);
        for (size_t q = 0; q < n; q++)
            for (size_t i = 0; i < found; i++) {
                const edge_match &one = matches.get()[q * keep + i];
                ids.get()[q * found + i] = static_cast<int64_t>(one.id);
                scores.get()[q * found + i] = one.score;
            }
        return std::make_tuple(ids.array<2>({n, found}), scores.array<2>({n, found}));
    }

  public:
    Vec(In<uint8_t, 1> bytes, bool verify) : bytes_(bytes) {
        edge_status status;
        {
            nb::gil_scoped_release free;
            status = edge_vec_open(bytes_.data(), bytes_.size(), verify ? 0 : EDGE_UNVERIFIED,
                                   &vec_);
        }
        check(status);
    }

    auto search_stages(Queries queries, const Stages &stages) const {
        const std::vector<edge_stage> all = stages_of(stages);
        if (all.empty()) check(EDGE_ERR_ARGUMENT);
        const size_t n = rows_of(queries), keep = all.back().keep;
        Room room = workspace(n, all.front().keep);
        Buffer<edge_match> matches(n * keep);
        check(free_of_gil([&] {
            return edge_vec_search(&vec_, queries.data(), n, all.data(), all.size(),
                                   matches.get(), room.words.get(), room.size);
        }));
        return answers(matches, n, keep, std::min<size_t>(keep, vec_.file.n));
    }

    // (ids, distances), each (n_queries, min(keep, end - begin)), ids ascending.
    auto scan(Queries queries, uint32_t dim, uint32_t keep, bool exact, uint64_t begin,
              uint64_t end) const {
        const size_t n = rows_of(queries);
        const size_t found = end > begin ? std::min<uint64_t>(keep, end - begin) : 0;
        Room room = workspace(n, keep);
        Buffer<edge_hit> hits(n * keep);
        check(free_of_gil([&] {
            return edge_vec_scan(&vec_, queries.data(), n, {dim, keep}, exact, begin, end,
                                 hits.get(), room.words.get(), room.size);
        }));
        Buffer<int64_t> ids(n * found);
        Buffer<uint32_t> distances(n * found);
        for (size_t q = 0; q < n; q++)
            for (size_t i = 0; i < found; i++) {
                ids.get()[q * found + i] = static_cast<int64_t>(hits.get()[q * keep + i].id);
                distances.get()[q * found + i] = hits.get()[q * keep + i].distance;
            }
        return std::make_tuple(ids.array<2>({n, found}), distances.array<2>({n, found}));
    }

    auto rerank(Queries queries, const Stages &stages, In<int64_t, 2> candidates) const {
        const std::vector<edge_stage> all = stages_of(stages);
        const size_t n = rows_of(queries), count = candidates.shape(1);
        if (all.empty() || candidates.shape(0) != n) check(EDGE_ERR_ARGUMENT);
        const size_t keep = all.back().keep;
        Room room = workspace(n, std::max<size_t>(count, 1));
        Buffer<edge_hit> hits(n * count);
        for (size_t i = 0; i < n * count; i++)
            hits.get()[i] = {static_cast<uint64_t>(candidates.data()[i]), 0};
        Buffer<edge_match> matches(n * keep);
        check(free_of_gil([&] {
            return edge_vec_rerank(&vec_, queries.data(), n, all.data(), all.size(), hits.get(),
                                   count, matches.get(), room.words.get(), room.size);
        }));
        return answers(matches, n, keep, std::min(keep, count));
    }

    std::vector<uint32_t> dims() const {
        return std::vector<uint32_t>(vec_.dims, vec_.dims + vec_.n_dims);
    }

    // (offset, size, width) of a section, or None.
    std::optional<std::tuple<uint64_t, uint64_t, uint32_t>> section(const std::string &tag) const {
        for (uint32_t i = 0; i < vec_.file.n_sections; i++) {
            const edge_section &one = vec_.file.sections[i];
            if (tag.size() == 4 && tag_of(tag) == one.tag)
                return std::make_tuple(one.offset, one.size, one.width);
        }
        return std::nullopt;
    }

    const edge_vec &vec() const { return vec_; }

  private:
    In<uint8_t, 1> bytes_; // keeps the Python buffer alive
    edge_vec vec_;
};

} // namespace

void bind_vectors(nb::module_ &m) {
    m.attr("VECTORS_MAX_KEEP") = EDGE_SEARCH_MAX_K;

    nb::class_<Vec>(m, "Vec", nb::is_weak_referenceable(), "An opened .vec file.")
        .def(nb::init<In<uint8_t, 1>, bool>(), nb::arg("bytes"), nb::arg("verify") = true)
        .def("__len__", [](const Vec &self) { return self.vec().file.n; })
        .def_prop_ro("dim", [](const Vec &self) { return self.vec().file.bits; })
        .def_prop_ro("prefix_dim", [](const Vec &self) { return self.vec().prefix_dim; })
        .def("trained_dims", &Vec::dims)
        .def("section", &Vec::section, nb::arg("tag"))
        .def("search_stages", &Vec::search_stages, nb::arg("queries").noconvert(),
             nb::arg("stages"))
        .def("scan", &Vec::scan, nb::arg("queries").noconvert(), nb::arg("dim"), nb::arg("keep"),
             nb::arg("exact"), nb::arg("begin"), nb::arg("end"))
        .def("rerank", &Vec::rerank, nb::arg("queries").noconvert(), nb::arg("stages"),
             nb::arg("candidates").noconvert());
}
