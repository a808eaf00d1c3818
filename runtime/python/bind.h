// What the bindings share: arrays in and out, statuses as exceptions.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>

#include "edge_runtime.h"

namespace nb = nanobind;

template <typename T, int D>
using In = nb::ndarray<const T, nb::numpy, nb::ndim<D>, nb::c_contig, nb::device::cpu>;
template <typename T, int D>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<D>>;

// Raise what errors.from_status names; EDGE_OK passes.
void check(edge_status status);

// Of the first four characters; shorter ones are filled up with zeros.
uint32_t tag_of(std::string tag);

// Room that becomes an array when it is full.
template <typename T>
struct Buffer {
    explicit Buffer(size_t size) : data(new T[size ? size : 1]) {}
    template <int D>
    Out<T, D> array(const size_t (&shape)[D]) {
        T *raw = data.release();
        nb::capsule owner(raw, [](void *p) noexcept { delete[] static_cast<T *>(p); });
        return Out<T, D>(raw, D, shape, owner);
    }
    Out<T, 1> vector(size_t size) { return array<1>({size}); }
    T *get() { return data.get(); }
    std::unique_ptr<T[]> data;
};

template <typename F>
edge_status free_of_gil(F &&work) {
    nb::gil_scoped_release free;
    return work();
}

// One for each part of the core.
void bind_files(nb::module_ &m);
void bind_codes(nb::module_ &m);
void bind_mrl(nb::module_ &m);
void bind_governor(nb::module_ &m);
void bind_vectors(nb::module_ &m);
void bind_audio(nb::module_ &m);
void bind_fastgrnn(nb::module_ &m);
void bind_sparse(nb::module_ &m);
