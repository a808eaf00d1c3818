// Matryoshka heads and cascades.
#include <optional>
#include <tuple>
#include <vector>

#include "bind.h"

namespace {

class Mrl {
  public:
    Mrl(In<uint8_t, 1> bytes, bool verify) : bytes_(bytes) {
        check(free_of_gil([&] {
            return edge_mrl_open(bytes_.data(), bytes_.size(), verify ? 0 : EDGE_UNVERIFIED,
                                 &head_);
        }));
    }

    Out<float, 2> logits(In<float, 2> x, uint32_t dim, bool interpolate) const {
        const size_t n = x.shape(0), size = edge_mrl_workspace_size(&head_);
        Buffer<float> out(n * head_.n_classes), workspace(size / sizeof(float));
        check(free_of_gil([&] {
            return edge_mrl_logits(&head_, x.data(), n, x.shape(1), dim,
                                   interpolate ? EDGE_MRL_INTERPOLATE : 0, workspace.get(), size,
                                   out.get());
        }));
        return out.array<2>({n, head_.n_classes});
    }

    const edge_mrl &head() const { return head_; }

  private:
    In<uint8_t, 1> bytes_; // keeps the Python buffer alive
    edge_mrl head_;
};

// The steps of a cascade on one head, checked once.
class Steps {
  public:
    Steps(const Mrl &mrl, const std::vector<uint32_t> &dims, const std::vector<float> &thresholds,
          int signal, bool agree, bool interpolate)
        : head_(&mrl.head()), signal_(static_cast<edge_signal>(signal)),
          flags_((agree ? EDGE_MRL_AGREE : 0) | (interpolate ? EDGE_MRL_INTERPOLATE : 0)) {
        if (dims.size() != thresholds.size()) check(EDGE_ERR_ARGUMENT);
        for (size_t i = 0; i < dims.size(); i++) steps_.push_back({dims[i], thresholds[i]});
        edge_verdict none;
        Buffer<float> workspace(edge_mrl_workspace_size(head_) / sizeof(float));
        check(run(nullptr, 0, head_->dim, 0, nullptr, workspace.get(), &none));
    }

    // One embedding: (id, step, confidence, sure).
    std::tuple<uint32_t, uint32_t, float, bool> one(In<float, 1> x, uint32_t previous) const {
        edge_verdict verdict;
        Buffer<float> workspace(edge_mrl_workspace_size(head_) / sizeof(float));
        check(run(x.data(), 1, x.size(), 0, &previous, workspace.get(), &verdict));
        return {verdict.id, verdict.step, verdict.confidence, verdict.sure != 0};
    }

    // A batch: ids, steps, confidences and whether they are sure, each of shape (n,).
    auto many(In<float, 2> x, std::optional<In<uint32_t, 1>> previous) const {
        const size_t n = x.shape(0);
        if (previous && previous->size() != n) check(EDGE_ERR_ARGUMENT);
        const Buffer<edge_verdict> verdicts = all(x, 0, previous ? previous->data() : nullptr, n);
        Buffer<int64_t> ids(n);
        Buffer<int32_t> steps(n);
        Buffer<float> confidences(n);
        Buffer<bool> sure(n);
        for (size_t i = 0; i < n; i++) {
            const edge_verdict &one = verdicts.data[i];
            ids.get()[i] = one.id;
            steps.get()[i] = static_cast<int32_t>(one.step);
            confidences.get()[i] = one.confidence;
            sure.get()[i] = one.sure != 0;
        }
        return std::make_tuple(ids.vector(n), steps.vector(n), confidences.vector(n),
                               sure.vector(n));
    }

    // What every step answers: ids and confidences of shape (n, n_steps).
    auto every(In<float, 2> x, std::optional<In<uint32_t, 1>> previous) const {
        const size_t n = x.shape(0), total = n * steps_.size();
        if (previous && previous->size() != n) check(EDGE_ERR_ARGUMENT);
        const Buffer<edge_verdict> verdicts =
            all(x, EDGE_MRL_EVERY_STEP, previous ? previous->data() : nullptr, total);
        Buffer<int64_t> ids(total);
        Buffer<float> confidences(total);
        for (size_t i = 0; i < total; i++) {
            ids.get()[i] = verdicts.data[i].id;
            confidences.get()[i] = verdicts.data[i].confidence;
        }
        return std::make_tuple(ids.array<2>({n, steps_.size()}),
                               confidences.array<2>({n, steps_.size()}));
    }

  private:
    edge_status run(const float *x, size_t n, size_t stride, uint32_t flags,
                    const uint32_t *previous, void *workspace, edge_verdict *verdicts) const {
        return edge_mrl_cascade(head_, x, n, stride, steps_.data(),
                                static_cast<uint32_t>(steps_.size()), signal_, flags_ | flags,
                                previous, workspace, edge_mrl_workspace_size(head_), verdicts);
    }

    Buffer<edge_verdict> all(In<float, 2> x, uint32_t flags, const uint32_t *previous,
                             size_t n_verdicts) const {
        Buffer<edge_verdict> verdicts(n_verdicts);
        Buffer<float> workspace(edge_mrl_workspace_size(head_) / sizeof(float));
        check(free_of_gil([&] {
            return run(x.data(), x.shape(0), x.shape(1), flags, previous, workspace.get(),
                       verdicts.get());
        }));
        return verdicts;
    }

    const edge_mrl *head_;
    std::vector<edge_step> steps_;
    edge_signal signal_;
    uint32_t flags_;
};

} // namespace

void bind_mrl(nb::module_ &m) {
    m.attr("NONE") = EDGE_NONE;
    m.attr("MRL_PANEL") = 64;
    m.attr("MRL_NEVER") = EDGE_MRL_NEVER;

    nb::class_<Mrl>(m, "Mrl", nb::is_weak_referenceable(), "An opened .mrl file.")
        .def(nb::init<In<uint8_t, 1>, bool>(), nb::arg("bytes"), nb::arg("verify") = true)
        .def_prop_ro("n_classes", [](const Mrl &self) { return self.head().n_classes; })
        .def_prop_ro("dim", [](const Mrl &self) { return self.head().dim; })
        .def_prop_ro("dims", [](const Mrl &self) {
            return std::vector<uint32_t>(self.head().dims, self.head().dims + self.head().n_dims);
        })
        .def_prop_ro("tied", [](const Mrl &self) { return self.head().tied != 0; })
        .def_prop_ro("normalized", [](const Mrl &self) { return self.head().normalized != 0; })
        .def_prop_ro("scale", [](const Mrl &self) { return self.head().scale; })
        .def("logits", &Mrl::logits, nb::arg("x").noconvert(), nb::arg("dim"),
             nb::arg("interpolate") = false);

    nb::class_<Steps>(m, "Steps", "The steps of a cascade on one head.")
        .def(nb::init<const Mrl &, const std::vector<uint32_t> &, const std::vector<float> &, int,
                      bool, bool>(),
             nb::keep_alive<1, 2>(), nb::arg("head"), nb::arg("dims"), nb::arg("thresholds"),
             nb::arg("signal"), nb::arg("agree") = false, nb::arg("interpolate") = false)
        .def("one", &Steps::one, nb::arg("x").noconvert(), nb::arg("previous") = EDGE_NONE)
        .def("many", &Steps::many, nb::arg("x").noconvert(), nb::arg("previous") = nb::none())
        .def("every", &Steps::every, nb::arg("x").noconvert(), nb::arg("previous") = nb::none());
}
