/* Head and Cascade: edge_mrl in a direct buffer. */
#include "jni_common.h"

EDGE_JNI(jint, Head, openFile)(JNIEnv *env, jclass self, jobject bytes, jlong size, jint flags,
                               jobject opened) {
    (void)self;
    const uint8_t *begin = (const uint8_t *)edge_jni_at(env, bytes, 0, size, 8);
    edge_mrl *head = EDGE_JNI_STRUCT(env, edge_mrl, opened);
    if (!begin || !head) return EDGE_ERR_ARGUMENT;
    return edge_mrl_open(begin, (size_t)size, (uint32_t)flags, head);
}

EDGE_JNI(jlong, Head, room)(JNIEnv *env, jclass self, jobject bytes, jobject opened) {
    (void)self;
    (void)bytes;
    const edge_mrl *head = EDGE_JNI_STRUCT(env, edge_mrl, opened);
    return head ? (jlong)edge_mrl_workspace_size(head) : 0;
}

EDGE_JNI(jint, Head, logitsAt)(JNIEnv *env, jclass self, jobject bytes, jobject opened, jobject x,
                               jint first_x, jint dim, jint flags, jobject room, jlong room_size,
                               jobject logits, jint first_logit) {
    (void)self;
    (void)bytes;
    const edge_mrl *head = EDGE_JNI_STRUCT(env, edge_mrl, opened);
    if (!head || dim < 0) return EDGE_ERR_ARGUMENT;
    const float *from = edge_jni_floats(env, x, first_x, head->dim);
    float *to = edge_jni_floats(env, logits, first_logit, head->n_classes);
    void *work = edge_jni_at(env, room, 0, room_size, 8);
    if (!from || !to || !work) return EDGE_ERR_ARGUMENT;
    return edge_mrl_logits(head, from, 1, head->dim, (uint32_t)dim, (uint32_t)flags, work,
                           (size_t)room_size, to);
}

/* One embedding; `previous` is a class, or EDGE_NONE. With EDGE_MRL_EVERY_STEP all verdicts. */
EDGE_JNI(jint, Head, cascade)(JNIEnv *env, jclass self, jobject bytes, jobject opened, jobject x,
                              jint first_x, jobject steps, jint n_steps, jint signal, jint flags,
                              jint previous, jobject room, jlong room_size, jobject verdicts) {
    (void)self;
    (void)bytes;
    const edge_mrl *head = EDGE_JNI_STRUCT(env, edge_mrl, opened);
    if (!head || n_steps < 0) return EDGE_ERR_ARGUMENT;
    const jlong n = (uint32_t)flags & EDGE_MRL_EVERY_STEP ? n_steps : 1;
    const float *from = edge_jni_floats(env, x, first_x, head->dim);
    const edge_step *taken = (const edge_step *)edge_jni_at(
        env, steps, 0, (jlong)n_steps * (jlong)sizeof *taken, 4);
    edge_verdict *to = (edge_verdict *)edge_jni_at(env, verdicts, 0, n * (jlong)sizeof *to, 4);
    void *work = edge_jni_at(env, room, 0, room_size, 8);
    const uint32_t before = (uint32_t)previous;
    if (!from || !taken || !to || !work) return EDGE_ERR_ARGUMENT;
    return edge_mrl_cascade(head, from, 1, head->dim, taken, (uint32_t)n_steps,
                            (edge_signal)signal, (uint32_t)flags, &before, work,
                            (size_t)room_size, to);
}
