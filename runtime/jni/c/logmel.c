/* LogMel: edge_logmel, its tables and its workspace in direct buffers. */
#include "jni_common.h"

EDGE_JNI(jlong, LogMel, room)(JNIEnv *env, jclass self, jint window, jint n_fft) {
    edge_logmel_config config = {0};
    (void)env;
    (void)self;
    if (window < 0 || n_fft < 0) return 0;
    config.window = (uint32_t)window;
    config.n_fft = (uint32_t)n_fft;
    return (jlong)edge_logmel_size(&config);
}

EDGE_JNI(jint, LogMel, init)(JNIEnv *env, jclass self, jobject front, jint window, jint hop,
                             jint n_fft, jint n_bands, jint floor_log2, jobject weights,
                             jobject sine, jobject position, jobject room, jlong room_size) {
    (void)self;
    if (window < 0 || hop < 0 || n_fft < 0 || n_bands < 0 || floor_log2 < 0)
        return EDGE_ERR_ARGUMENT;
    edge_logmel *logmel = EDGE_JNI_STRUCT(env, edge_logmel, front);
    const edge_logmel_config config = {
        (uint32_t)window,
        (uint32_t)hop,
        (uint32_t)n_fft,
        (uint32_t)n_bands,
        (uint32_t)floor_log2,
        (const int16_t *)edge_jni_many(env, weights, window, sizeof(int16_t)),
        (const int32_t *)edge_jni_many(env, sine, (jlong)n_fft / 4 + 1, sizeof(int32_t)),
        (const uint16_t *)edge_jni_many(env, position, (jlong)n_fft / 2 + 1, sizeof(uint16_t))};
    void *work = edge_jni_at(env, room, 0, room_size, 4);
    if (!logmel || !work) return EDGE_ERR_ARGUMENT;
    return edge_logmel_init(logmel, &config, work, (size_t)room_size);
}

EDGE_JNI(void, LogMel, forget)(JNIEnv *env, jclass self, jobject front, jobject tables,
                               jobject room) {
    (void)self;
    (void)tables;
    (void)room;
    edge_logmel *logmel = EDGE_JNI_STRUCT(env, edge_logmel, front);
    if (logmel) edge_logmel_reset(logmel);
}

EDGE_JNI(jlong, LogMel, frames)(JNIEnv *env, jclass self, jobject front, jobject tables,
                                jobject room, jlong n) {
    (void)self;
    (void)tables;
    (void)room;
    const edge_logmel *logmel = EDGE_JNI_STRUCT(env, const edge_logmel, front);
    return logmel && n >= 0 ? (jlong)edge_logmel_frames(logmel, (size_t)n) : 0;
}

/* There must be room for all frames that the samples complete. */
EDGE_JNI(jint, LogMel, take)(JNIEnv *env, jclass self, jobject front, jobject tables, jobject room,
                             jobject samples, jint n, jobject features, jint n_frames) {
    (void)self;
    (void)tables;
    (void)room;
    size_t written, used;
    edge_logmel *logmel = EDGE_JNI_STRUCT(env, edge_logmel, front);
    if (!logmel || n < 0 || n_frames < 0) return EDGE_ERR_ARGUMENT;
    const int16_t *from = (const int16_t *)edge_jni_many(env, samples, n, sizeof *from);
    int16_t *to = (int16_t *)edge_jni_many(
        env, features, (jlong)n_frames * (jlong)logmel->config.n_bands, sizeof *to);
    if (!from || !to || edge_logmel_frames(logmel, (size_t)n) != (size_t)n_frames)
        return EDGE_ERR_ARGUMENT;
    return edge_logmel_push(logmel, from, (size_t)n, to, (size_t)n_frames, &written, &used);
}
