/*
 * What all classes share: Java hands over direct buffers and ranges of them, nothing else.
 *
 * So no call here can throw, hold up the garbage collector or allocate; every call returns the
 * core's status, and Java makes the exception. Buffers come as arguments, although an opened
 * file points into them already: what is an argument is not collected during the call.
 */
#ifndef EDGE_JNI_COMMON_H
#define EDGE_JNI_COMMON_H

#include <jni.h>

#include "edge_runtime.h"

#define EDGE_JNI(type, class_, method) JNIEXPORT type JNICALL Java_org_edgesdk_##class_##_##method

/* `size` bytes of a direct buffer from `offset` on; NULL unless they lie inside, and aligned. */
static inline void *edge_jni_at(JNIEnv *env, jobject buffer, jlong offset, jlong size,
                                uintptr_t alignment) {
    if (!buffer || offset < 0 || size < 0) return NULL;
    uint8_t *address = (uint8_t *)(*env)->GetDirectBufferAddress(env, buffer);
    const jlong capacity = (*env)->GetDirectBufferCapacity(env, buffer);
    if (!address || capacity < offset || capacity - offset < size) return NULL;
    address += offset;
    return (uintptr_t)address % alignment ? NULL : address;
}

/* As edge_jni_at, `n` elements of so many bytes from the buffer's begin on. */
static inline void *edge_jni_many(JNIEnv *env, jobject buffer, jlong n, jlong width) {
    if (n < 0 || n > INT64_MAX / width) return NULL;
    return edge_jni_at(env, buffer, 0, n * width, (uintptr_t)(width % 8 == 0 ? 8 : width));
}

/* `n` floats of a direct FloatBuffer, whose capacity is in floats, from `first` on. */
static inline float *edge_jni_floats(JNIEnv *env, jobject buffer, jlong first, jlong n) {
    if (!buffer || first < 0 || n < 0) return NULL;
    float *address = (float *)(*env)->GetDirectBufferAddress(env, buffer);
    const jlong capacity = (*env)->GetDirectBufferCapacity(env, buffer);
    if (!address || capacity < first || capacity - first < n) return NULL;
    return (uintptr_t)address % sizeof(float) ? NULL : address + first;
}

/* A struct that fills the buffer's begin. */
#define EDGE_JNI_STRUCT(env, type, buffer) \
    ((type *)edge_jni_at(env, buffer, 0, (jlong)sizeof(type), 8))

#endif /* EDGE_JNI_COMMON_H */
