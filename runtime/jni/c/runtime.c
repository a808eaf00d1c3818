/* EdgeRuntime: versions, kernels, words of errors, and where C keeps what Java reads. */
#include <string.h>

#include "jni_common.h"

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved);

jint JNI_OnLoad(JavaVM *vm, void *reserved) {
    (void)vm;
    (void)reserved;
    return JNI_VERSION_1_6;
}

EDGE_JNI(jstring, EdgeRuntime, versionText)(JNIEnv *env, jclass self) {
    (void)self;
    return (*env)->NewStringUTF(env, edge_version());
}

EDGE_JNI(jstring, EdgeRuntime, isaText)(JNIEnv *env, jclass self) {
    (void)self;
    return (*env)->NewStringUTF(env, edge_isa());
}

EDGE_JNI(jint, EdgeRuntime, isaCount)(JNIEnv *env, jclass self) {
    (void)env;
    (void)self;
    return (jint)edge_isa_count();
}

EDGE_JNI(jstring, EdgeRuntime, isaName)(JNIEnv *env, jclass self, jint i) {
    (void)self;
    const char *name = i < 0 ? NULL : edge_isa_name((size_t)i);
    return name ? (*env)->NewStringUTF(env, name) : NULL;
}

EDGE_JNI(jint, EdgeRuntime, isaUse)(JNIEnv *env, jclass self, jint i) {
    (void)env;
    (void)self;
    const char *name = i < 0 ? NULL : edge_isa_name((size_t)i);
    return name ? edge_isa_use(name) : EDGE_ERR_ARGUMENT;
}

static const char *status_name(jint status) {
    switch (status) {
#define NAME(name, value, text) \
    case value: return #name;
        EDGE_STATUSES(NAME)
#undef NAME
    default: return "";
    }
}

EDGE_JNI(jstring, EdgeRuntime, statusName)(JNIEnv *env, jclass self, jint status) {
    (void)self;
    return (*env)->NewStringUTF(env, status_name(status));
}

EDGE_JNI(jstring, EdgeRuntime, statusText)(JNIEnv *env, jclass self, jint status) {
    (void)self;
    return (*env)->NewStringUTF(env, edge_status_text((edge_status)status));
}

EDGE_JNI(jlong, EdgeRuntime, address)(JNIEnv *env, jclass self, jobject buffer) {
    (void)self;
    return buffer ? (jlong)(intptr_t)(*env)->GetDirectBufferAddress(env, buffer) : 0;
}

/* ---- what C alone knows ---------------------------------------------------------- */

typedef struct fact {
    const char *name;
    int64_t value;
} fact;

#define SIZE(type) {#type, (int64_t)sizeof(type)}
#define FIELD(type, field) {#type "." #field, (int64_t)offsetof(type, field)}
#define VALUE(name) {#name, (int64_t)(name)}

static const fact facts[] = {
    VALUE(EDGE_NONE),
    VALUE(EDGE_ALIGNMENT),
    VALUE(EDGE_SEARCH_MAX_K),
    VALUE(EDGE_LOOKUPS_MAX),
    VALUE(EDGE_MRL_MAX_DIMS),
    VALUE(EDGE_GOVERNOR_MAX_CHOICES),
    VALUE(EDGE_LOGMEL_MAX_BANDS),
    VALUE(EDGE_LOGMEL_MAX_FLOOR),
    VALUE(EDGE_MRL_INTERPOLATE),
    VALUE(EDGE_MRL_AGREE),
    VALUE(EDGE_MRL_EVERY_STEP),
    SIZE(edge_file),
    FIELD(edge_file, kind),
    FIELD(edge_file, n_sections),
    FIELD(edge_file, sections),
    SIZE(edge_section),
    FIELD(edge_section, tag),
    FIELD(edge_section, offset),
    FIELD(edge_section, size),
    SIZE(edge_llc),
    FIELD(edge_llc, n),
    FIELD(edge_llc, kind),
    FIELD(edge_llc, bits),
    SIZE(edge_nearest),
    FIELD(edge_nearest, id),
    FIELD(edge_nearest, distance),
    FIELD(edge_nearest, runner_up),
    SIZE(edge_ordered),
    FIELD(edge_ordered, id),
    FIELD(edge_ordered, lookups),
    FIELD(edge_ordered, met),
    FIELD(edge_ordered, penalty),
    SIZE(edge_hit),
    FIELD(edge_hit, id),
    FIELD(edge_hit, distance),
    SIZE(edge_mrl),
    FIELD(edge_mrl, n_classes),
    FIELD(edge_mrl, dim),
    FIELD(edge_mrl, n_dims),
    FIELD(edge_mrl, dims),
    FIELD(edge_mrl, tied),
    FIELD(edge_mrl, normalized),
    FIELD(edge_mrl, scale),
    SIZE(edge_step),
    FIELD(edge_step, dim),
    FIELD(edge_step, threshold),
    SIZE(edge_verdict),
    FIELD(edge_verdict, id),
    FIELD(edge_verdict, step),
    FIELD(edge_verdict, confidence),
    FIELD(edge_verdict, sure),
    SIZE(edge_governor),
    SIZE(edge_choice),
    FIELD(edge_choice, latency_p50_ms),
    FIELD(edge_choice, latency_p95_ms),
    FIELD(edge_choice, energy_mj),
    FIELD(edge_choice, accuracy),
    FIELD(edge_choice, risk),
    FIELD(edge_choice, ram_mb),
    SIZE(edge_budget),
    FIELD(edge_budget, latency_ms),
    FIELD(edge_budget, energy_mj),
    FIELD(edge_budget, memory_mb),
    FIELD(edge_budget, risk),
    FIELD(edge_budget, min_accuracy),
    FIELD(edge_budget, battery_floor_pct),
    FIELD(edge_budget, last_until_s),
    SIZE(edge_signals),
    FIELD(edge_signals, now_s),
    FIELD(edge_signals, battery_pct),
    FIELD(edge_signals, energy_left_mj),
    FIELD(edge_signals, battery_power_mw),
    FIELD(edge_signals, thermal_headroom),
    FIELD(edge_signals, free_ram_mb),
    FIELD(edge_signals, rate_hz),
    FIELD(edge_signals, charging),
    FIELD(edge_signals, throttled),
    FIELD(edge_signals, power_saver),
    SIZE(edge_decision),
    FIELD(edge_decision, predicted_p95_ms),
    FIELD(edge_decision, better_p95_ms),
    FIELD(edge_decision, wait_s),
    FIELD(edge_decision, slowdown),
    FIELD(edge_decision, allowed_mj),
    FIELD(edge_decision, rate_hz),
    FIELD(edge_decision, choice),
    FIELD(edge_decision, met),
    FIELD(edge_decision, missed),
    FIELD(edge_decision, why),
    FIELD(edge_decision, better),
    FIELD(edge_decision, better_missed),
    FIELD(edge_decision, unpaced),
    FIELD(edge_decision, switched),
    SIZE(edge_fastgrnn),
    FIELD(edge_fastgrnn, n_inputs),
    FIELD(edge_fastgrnn, n_hidden),
    FIELD(edge_fastgrnn, n_classes),
    FIELD(edge_fastgrnn, integers),
    SIZE(edge_logmel),
};

static int same(const char *name, const uint8_t *letters, jint length) {
    for (jint i = 0; i < length; i++)
        if (name[i] == '\0' || (uint8_t)name[i] != letters[i]) return 0;
    return name[length] == '\0';
}

/* A size, an offset or a constant by its name in C, in ASCII; -1 if it is none. */
EDGE_JNI(jlong, EdgeRuntime, fact)(JNIEnv *env, jclass self, jobject name, jint length) {
    (void)self;
    const uint8_t *letters = (const uint8_t *)edge_jni_many(env, name, length, 1);
    if (!letters) return -1;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (same(facts[i].name, letters, length)) return facts[i].value;
    return -1;
}

/* Head and table of a file of any kind, whose digests another call has compared. */
EDGE_JNI(jint, CoreFile, openTable)(JNIEnv *env, jclass self, jobject bytes, jlong size,
                                    jobject opened) {
    (void)self;
    const uint8_t *begin = (const uint8_t *)edge_jni_at(env, bytes, 0, size, 8);
    edge_file *file = EDGE_JNI_STRUCT(env, edge_file, opened);
    if (!begin || !file) return EDGE_ERR_ARGUMENT;
    return edge_file_open(begin, (size_t)size, EDGE_UNVERIFIED, file);
}
