/* CodeIndex: edge_llc in a direct buffer. */
#include "jni_common.h"

EDGE_JNI(jint, CodeIndex, openFile)(JNIEnv *env, jclass self, jobject bytes, jlong size,
                                    jint flags, jobject opened) {
    (void)self;
    const uint8_t *begin = (const uint8_t *)edge_jni_at(env, bytes, 0, size, 8);
    edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    if (!begin || !file) return EDGE_ERR_ARGUMENT;
    return edge_llc_open(begin, (size_t)size, (uint32_t)flags, file);
}

EDGE_JNI(jint, CodeIndex, ed)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                              jobject words, jint n, jobject ids) {
    (void)self;
    (void)bytes;
    const edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    const uint64_t *asked = (const uint64_t *)edge_jni_many(env, words, n, sizeof *asked);
    uint32_t *found = (uint32_t *)edge_jni_many(env, ids, n, sizeof *found);
    if (!file || !asked || !found) return EDGE_ERR_ARGUMENT;
    return edge_ed_decode(file, asked, (size_t)n, found);
}

EDGE_JNI(jint, CodeIndex, mhd)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                               jobject words, jint n, jint plan, jobject ids) {
    (void)self;
    (void)bytes;
    const edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    const uint64_t *asked = (const uint64_t *)edge_jni_many(env, words, n, sizeof *asked);
    uint32_t *found = (uint32_t *)edge_jni_many(env, ids, n, sizeof *found);
    if (!file || !asked || !found) return EDGE_ERR_ARGUMENT;
    return edge_mhd_decode(file, asked, (size_t)n, (edge_mhd_plan)plan, found);
}

EDGE_JNI(jint, CodeIndex, margins)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                                   jobject words, jint n, jobject nearest) {
    (void)self;
    (void)bytes;
    const edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    const uint64_t *asked = (const uint64_t *)edge_jni_many(env, words, n, sizeof *asked);
    edge_nearest *found = (edge_nearest *)edge_jni_at(env, nearest, 0,
                                                      (jlong)n * (jlong)sizeof *found, 4);
    if (!file || !asked || !found) return EDGE_ERR_ARGUMENT;
    return edge_mhd_decode_margin(file, asked, (size_t)n, found);
}

EDGE_JNI(jlong, CodeIndex, ordRoom)(JNIEnv *env, jclass self, jint max_lookups) {
    (void)env;
    (void)self;
    return max_lookups < 0 ? 0 : (jlong)edge_ord_workspace_size((uint32_t)max_lookups);
}

/* With `max_lookups` below 0 by comparing every class. */
EDGE_JNI(jint, CodeIndex, ord)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                               jobject scores, jint n, jint max_lookups, jint fallback,
                               jobject room, jlong room_size, jobject answers) {
    (void)self;
    (void)bytes;
    const edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    if (!file || n < 0) return EDGE_ERR_ARGUMENT;
    const jlong count = (jlong)n * (jlong)file->bits;
    const float *asked = (const float *)edge_jni_many(env, scores, count, sizeof *asked);
    edge_ordered *found = (edge_ordered *)edge_jni_at(env, answers, 0,
                                                      (jlong)n * (jlong)sizeof *found, 8);
    if (!asked || !found) return EDGE_ERR_ARGUMENT;
    if (max_lookups < 0) return edge_soft_decode(file, asked, (size_t)n, found);
    void *work = edge_jni_at(env, room, 0, room_size, 8);
    if (!work) return EDGE_ERR_ARGUMENT;
    return edge_ord_decode(file, asked, (size_t)n, (uint32_t)max_lookups,
                           (edge_fallback)fallback, work, (size_t)room_size, found);
}

EDGE_JNI(jlong, CodeIndex, searchRoom)(JNIEnv *env, jclass self, jint n, jint k) {
    (void)env;
    (void)self;
    return n < 0 || k < 0 ? 0 : (jlong)edge_search_workspace_size((size_t)n, (size_t)k);
}

EDGE_JNI(jint, CodeIndex, nearestCodes)(JNIEnv *env, jclass self, jobject bytes, jobject opened,
                                        jobject query, jint k, jobject hits, jobject room,
                                        jlong room_size) {
    (void)self;
    (void)bytes;
    const edge_llc *file = EDGE_JNI_STRUCT(env, edge_llc, opened);
    if (!file) return EDGE_ERR_ARGUMENT;
    const uint64_t *asked = (const uint64_t *)edge_jni_many(
        env, query, file->bits <= 64 ? 1 : file->bits / 64, sizeof *asked);
    edge_hit *found = (edge_hit *)edge_jni_at(env, hits, 0, (jlong)k * (jlong)sizeof *found, 8);
    void *work = edge_jni_at(env, room, 0, room_size, 8);
    if (!asked || !found || !work || k < 0) return EDGE_ERR_ARGUMENT;
    return edge_search(file, asked, 1, (size_t)k, 0, file->n, found, work, (size_t)room_size);
}
