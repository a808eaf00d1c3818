/* The .mrl file, by the public header alone: what is no head, or a damaged one, is refused. */
#include "model.h"

/* The status of opening `m`, with one float of its weights or biases replaced. */
static edge_status open_with_number(const model *m, uint32_t tag, size_t place, float value,
                                    uint32_t flags) {
    writer w;
    size_t size;
    uint8_t *bytes;
    edge_mrl head;
    edge_status status;
    put_model(&w, m, WITH_ALL);
    for (uint32_t i = 0; i < w.n; i++)
        if (w.sections[i].tag == tag) {
            uint8_t *data = w.data[i];
            memcpy(data + place * 4, &value, 4);
            w.n--; /* put again, with the right digest: the order of sections is free */
            w.data[i] = w.data[w.n];
            const edge_section section = w.sections[i];
            w.sections[i] = w.sections[w.n];
            put(&w, tag, 4, data, (size_t)section.size);
            break;
        }
    bytes = finish(&w, EDGE_KIND_HEAD, dim_of(m), m->n_classes, &size);
    status = edge_mrl_open(bytes, size, flags, &head);
    free(bytes);
    return status;
}

static void weights_that_are_not_finite_are_refused(const model *m) {
    static const uint32_t bad[] = {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x5a0e1bcau};
    const size_t last_weight = n_weights(m) / m->n_classes * padded(m) - 1;
    const size_t width = padded(m);
    current = "weights";
    EXPECT(EDGE_OK, open_with_number(m, EDGE_TAG_WEIGHTS, 0, -1e15f, 0));
    EXPECT(EDGE_OK, open_with_number(m, EDGE_TAG_BIAS, 0, 1e15f, 0));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(EDGE_ERR_FORMAT, open_with_number(m, EDGE_TAG_WEIGHTS, 0, as_float(bad[i]), 0));
        EXPECT(EDGE_ERR_FORMAT,
               open_with_number(m, EDGE_TAG_WEIGHTS, last_weight, as_float(bad[i]), 0));
        EXPECT(EDGE_ERR_FORMAT, open_with_number(m, EDGE_TAG_BIAS, 0, as_float(bad[i]), 0));
        EXPECT(EDGE_OK,
               open_with_number(m, EDGE_TAG_WEIGHTS, 0, as_float(bad[i]), EDGE_UNVERIFIED));
        EXPECT(EDGE_ERR_FORMAT,
               open_with_number(m, EDGE_TAG_BIAS, 0, as_float(bad[i]), EDGE_UNVERIFIED));
    }
    for (size_t i = m->n_classes; i < width; i++) /* or the padding could be the answer */
        EXPECT(EDGE_ERR_FORMAT, open_with_number(m, EDGE_TAG_BIAS, i, 0.0f, EDGE_UNVERIFIED));
}

static edge_status open_model(const model *m, unsigned with, uint32_t dim, uint32_t n_classes,
                              edge_kind kind) {
    writer w;
    size_t size;
    uint8_t *bytes;
    edge_mrl head;
    edge_status status;
    put_model(&w, m, with);
    bytes = finish(&w, kind, dim, n_classes, &size);
    status = edge_mrl_open(bytes, size, 0, &head);
    CHECK(status == EDGE_OK || (head.weights == NULL && edge_mrl_workspace_size(&head) == 0));
    free(bytes);
    return status;
}

/* The status of opening the model with its dims or its head section changed. */
#define OPEN_CHANGED(change)     \
    (changed = *m, (change),     \
     open_model(&changed, WITH_ALL, dim_of(m), m->n_classes, EDGE_KIND_HEAD))

static void sections_that_do_not_fit_are_refused(const model *m) {
    const uint32_t dim = dim_of(m), n = m->n_classes;
    model changed;
    current = "sections";
    EXPECT(EDGE_OK, open_model(m, WITH_ALL, dim, n, EDGE_KIND_HEAD));
    for (unsigned with = 0; with < WITH_ALL; with++)
        EXPECT(EDGE_ERR_FORMAT, open_model(m, with, dim, n, EDGE_KIND_HEAD));
    EXPECT(EDGE_ERR_FORMAT, open_model(m, WITH_ALL, dim + 1, n, EDGE_KIND_HEAD));
    EXPECT(EDGE_ERR_FORMAT, open_model(m, WITH_ALL, dim, n + GROUP, EDGE_KIND_HEAD));
    EXPECT(EDGE_ERR_FORMAT, open_model(m, WITH_ALL, dim, n + 1, EDGE_KIND_HEAD)); /* is padding */
    EXPECT(EDGE_ERR_FORMAT, open_model(m, WITH_ALL, dim, n - 1, EDGE_KIND_HEAD)); /* is a class */
    EXPECT(EDGE_ERR_FORMAT, open_model(m, WITH_ALL, dim, n, EDGE_KIND_VECTORS));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.tied = 2));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.normalized = 2));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.scale = 0));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.scale = -1));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.scale = 1e16f));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.scale = as_float(0x7fc00000u)));
    EXPECT(EDGE_ERR_FORMAT, OPEN_CHANGED(changed.scale = as_float(0x7f800000u)));
    EXPECT(EDGE_OK, OPEN_CHANGED(changed.scale = 1e15f));
}

/* Replaces DIMS and HEAD by raw ones: what put_model could not write. */
static edge_status open_raw(const model *m, const uint32_t *dims, uint32_t n_dims,
                            const uint32_t *fields, size_t head_size, uint32_t extra_tag) {
    writer w;
    size_t size;
    uint8_t *bytes;
    edge_mrl head;
    edge_status status;
    put_model(&w, m, WITH_BIAS | WITH_WEIGHTS);
    put_copy(&w, EDGE_TAG_HEAD, 4, fields, head_size);
    put_copy(&w, EDGE_TAG_DIMS, 4, dims, n_dims * sizeof *dims);
    if (extra_tag) put(&w, extra_tag, 1, room(5), 5);
    bytes = finish(&w, EDGE_KIND_HEAD, dim_of(m), m->n_classes, &size);
    status = edge_mrl_open(bytes, size, 0, &head);
    CHECK(status == EDGE_OK || head.weights == NULL);
    free(bytes);
    return status;
}

static void malformed_dims_and_fields_are_refused(const model *m) {
    static const uint32_t falling[3] = {8, 2, 24}, twice[3] = {8, 8, 24}, zero[3] = {0, 8, 24},
                          shorter[3] = {2, 8, 23};
    const uint32_t fields[5] = {m->tied, m->normalized, as_raw(m->scale), 0, 0},
                   reserved[4] = {m->tied, m->normalized, as_raw(m->scale), 1};
    uint32_t many[EDGE_MRL_MAX_DIMS + 1];
    current = "dims";
    for (uint32_t i = 0; i <= EDGE_MRL_MAX_DIMS; i++) many[i] = i + 1;
    EXPECT(EDGE_OK, open_raw(m, m->dims, 3, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, falling, 3, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, twice, 3, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, zero, 3, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, shorter, 3, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, m->dims, 2, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, m->dims, 0, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, many, EDGE_MRL_MAX_DIMS + 1, fields, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, m->dims, 3, reserved, 16, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, m->dims, 3, fields, 12, 0));
    EXPECT(EDGE_ERR_FORMAT, open_raw(m, m->dims, 3, fields, 20, 0));
    current = "unknown section";
    EXPECT(EDGE_OK, open_raw(m, m->dims, 3, fields, 16, EDGE_TAG('n', 'o', 't', 'e')));
    EXPECT(EDGE_ERR_VERSION, open_raw(m, m->dims, 3, fields, 16, EDGE_TAG('X', '2', '0', '9')));
    EXPECT(EDGE_ERR_VERSION, open_raw(m, m->dims, 3, fields, 16, EDGE_TAG_CODES));
}

static void every_truncation_and_every_flipped_bit_is_refused(const model *m) {
    edge_mrl head;
    edge_llc other;
    size_t size;
    uint8_t *bytes = head_file(m, &size);
    current = "whole file";
    EXPECT(EDGE_ERR_ARGUMENT, edge_mrl_open(bytes, size, 0, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_mrl_open(NULL, size, 0, &head));
    EXPECT(EDGE_OK, edge_mrl_open(bytes, size, 0, &head));
    EXPECT(EDGE_ERR_FORMAT, edge_llc_open(bytes, size, 0, &other)); /* no codes */
    current = "truncated";
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = (uint8_t *)room(length); /* a copy: what lies behind is not ours */
        memcpy(part, bytes, length);
        EXPECT(EDGE_ERR_FORMAT, edge_mrl_open(part, length, 0, &head));
        EXPECT(EDGE_ERR_FORMAT, edge_mrl_open(part, length, EDGE_UNVERIFIED, &head));
        CHECK(head.weights == NULL);
        free(part);
    }
    current = "flipped";
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        EXPECT(EDGE_ERR_FORMAT, edge_mrl_open(bytes, size, 0, &head));
        CHECK(head.weights == NULL);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    current = "version";
    bytes[AT_VERSION]++;
    seal(bytes, 4);
    EXPECT(EDGE_ERR_VERSION, edge_mrl_open(bytes, size, 0, &head));
    EXPECT(EDGE_ERR_VERSION, edge_mrl_open(bytes, size, EDGE_UNVERIFIED, &head));
    free(bytes);
}

int main(void) {
    static const edge_status mine[] = {EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_FORMAT,
                                       EDGE_ERR_VERSION};
    for (uint32_t tied = 0; tied < 2; tied++) {
        model m = random_model(3, tied, tied);
        weights_that_are_not_finite_are_refused(&m);
        sections_that_do_not_fit_are_refused(&m);
        malformed_dims_and_fields_are_refused(&m);
        every_truncation_and_every_flipped_bit_is_refused(&m);
        forget(&m);
    }
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) CHECK(seen[mine[i] & 0xff]);
    printf("mrl file  %lu checks  %lu failures\n", n_checks, n_failures);
    return n_failures != 0;
}
