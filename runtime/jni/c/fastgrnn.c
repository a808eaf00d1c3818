/* FastGrnn: edge_fastgrnn and its states in direct buffers. */
#include "jni_common.h"

EDGE_JNI(jint, FastGrnn, openFile)(JNIEnv *env, jclass self, jobject bytes, jlong size, jint flags,
                                   jobject opened) {
    (void)self;
    const uint8_t *begin = (const uint8_t *)edge_jni_at(env, bytes, 0, size, 8);
    edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    if (!begin || !cell) return EDGE_ERR_ARGUMENT;
    return edge_fastgrnn_open(begin, (size_t)size, (uint32_t)flags, cell);
}

EDGE_JNI(jlong, FastGrnn, stateSize)(JNIEnv *env, jclass self, jobject bytes, jobject opened) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    return cell ? (jlong)edge_fastgrnn_state_size(cell) : 0;
}

EDGE_JNI(jint, FastGrnn, init)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                               jobject state, jlong state_size) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    void *h = edge_jni_at(env, state, 0, state_size, 4);
    if (!cell || !h) return EDGE_ERR_ARGUMENT;
    return edge_fastgrnn_init(cell, h, (size_t)state_size);
}

/* Takes frames, then writes the logits after them, if there is a buffer for them. */
EDGE_JNI(jint, FastGrnn, take)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                               jobject state, jlong state_size, jobject frames, jint first,
                               jint n_frames, jobject logits, jint first_logit) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    void *h = edge_jni_at(env, state, 0, state_size, 4);
    if (!cell || !h || n_frames < 1) return EDGE_ERR_ARGUMENT;
    const float *x = edge_jni_floats(env, frames, first, (jlong)n_frames * (jlong)cell->n_inputs);
    float *to = logits ? edge_jni_floats(env, logits, first_logit, cell->n_classes) : NULL;
    if (!x || (logits && !to)) return EDGE_ERR_ARGUMENT;
    const edge_status status =
        edge_fastgrnn_run(cell, h, (size_t)state_size, x, (size_t)n_frames, NULL);
    if (status != EDGE_OK || !to) return status;
    return edge_fastgrnn_logits(cell, h, (size_t)state_size, to);
}

/* As take, of a cell in integers; `frames`, `states` and `logits` hold integers. For tests. */
EDGE_JNI(jint, FastGrnn, takeIntegers)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                                       jobject state, jlong state_size, jobject frames,
                                       jint n_frames, jobject states, jobject logits) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    void *h = edge_jni_at(env, state, 0, state_size, 4);
    if (!cell || !h || n_frames < 1) return EDGE_ERR_ARGUMENT;
    const int16_t *x = (const int16_t *)edge_jni_many(
        env, frames, (jlong)n_frames * (jlong)cell->n_inputs, sizeof *x);
    int16_t *each = (int16_t *)edge_jni_many(env, states,
                                             (jlong)n_frames * (jlong)cell->n_hidden, sizeof *each);
    int32_t *to = logits ? (int32_t *)edge_jni_many(env, logits, cell->n_classes, sizeof *to)
                         : NULL;
    if (!x || !each || (logits && !to)) return EDGE_ERR_ARGUMENT;
    const edge_status status =
        edge_fastgrnn_run_i16(cell, h, (size_t)state_size, x, (size_t)n_frames, each);
    if (status != EDGE_OK || !to) return status;
    return edge_fastgrnn_logits_i32(cell, h, (size_t)state_size, to);
}

EDGE_JNI(jint, FastGrnn, get)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                              jobject state, jlong state_size, jobject floats) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    const void *h = edge_jni_at(env, state, 0, state_size, 4);
    if (!cell || !h) return EDGE_ERR_ARGUMENT;
    float *to = edge_jni_floats(env, floats, 0, cell->n_hidden);
    return to ? edge_fastgrnn_get(cell, h, (size_t)state_size, to) : EDGE_ERR_ARGUMENT;
}

EDGE_JNI(jint, FastGrnn, set)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                              jobject state, jlong state_size, jobject floats) {
    (void)self;
    (void)bytes;
    const edge_fastgrnn *cell = EDGE_JNI_STRUCT(env, edge_fastgrnn, opened);
    void *h = edge_jni_at(env, state, 0, state_size, 4);
    if (!cell || !h) return EDGE_ERR_ARGUMENT;
    const float *from = edge_jni_floats(env, floats, 0, cell->n_hidden);
    return from ? edge_fastgrnn_set(cell, h, (size_t)state_size, from) : EDGE_ERR_ARGUMENT;
}
