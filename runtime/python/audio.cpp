// The log-mel front end: samples in, whole frames out.
#include "bind.h"

namespace {

class LogMel {
  public:
    LogMel(In<int16_t, 1> weights, In<int32_t, 1> sine, In<uint16_t, 1> position, uint32_t hop,
           uint32_t n_bands, uint32_t floor_log2)
        : weights_(weights), sine_(sine), position_(position) {
        const size_t n_fft = (position.shape(0) - 1) * 2;
        if (position.shape(0) == 0 || sine.shape(0) != n_fft / 4 + 1 ||
            weights.shape(0) > n_fft || n_fft > UINT32_MAX)
            check(EDGE_ERR_ARGUMENT);
        const edge_logmel_config config = {static_cast<uint32_t>(weights.shape(0)),
                                           hop,
                                           static_cast<uint32_t>(n_fft),
                                           n_bands,
                                           floor_log2,
                                           weights.data(),
                                           sine.data(),
                                           position.data()};
        size_ = edge_logmel_size(&config);
        workspace_.reset(new uint32_t[size_ / 4 + 1]);
        check(edge_logmel_init(&logmel_, &config, workspace_.get(), size_));
    }

    // (frames, n_bands)
    auto push(In<int16_t, 1> samples) {
        const size_t n = samples.shape(0), n_bands = logmel_.config.n_bands;
        const size_t most = edge_logmel_frames(&logmel_, n);
        Buffer<int16_t> features(most * n_bands);
        size_t n_frames, n_used;
        check(edge_logmel_push(&logmel_, samples.data(), n, features.get(), most, &n_frames,
                               &n_used));
        return features.array<2>({n_frames, n_bands});
    }

    void reset() { edge_logmel_reset(&logmel_); }
    size_t size() const { return sizeof logmel_ + size_; }

  private:
    In<int16_t, 1> weights_; // they keep the arrays alive
    In<int32_t, 1> sine_;
    In<uint16_t, 1> position_;
    std::unique_ptr<uint32_t[]> workspace_;
    size_t size_;
    edge_logmel logmel_;
};

} // namespace

void bind_audio(nb::module_ &m) {
    nb::class_<LogMel>(m, "LogMel", nb::is_weak_referenceable(), "A front end at work on a stream.")
        .def(nb::init<In<int16_t, 1>, In<int32_t, 1>, In<uint16_t, 1>, uint32_t, uint32_t,
                      uint32_t>(),
             nb::arg("weights").noconvert(), nb::arg("sine").noconvert(),
             nb::arg("position").noconvert(), nb::arg("hop"), nb::arg("n_bands"),
             nb::arg("floor_log2"))
        .def("push", &LogMel::push, nb::arg("samples").noconvert())
        .def("reset", &LogMel::reset)
        .def_prop_ro("size", &LogMel::size, "Bytes of state and workspace.");
}
