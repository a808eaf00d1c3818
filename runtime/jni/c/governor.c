/* Governor: edge_governor in a direct buffer, which Java can copy and store as bytes. */
#include "jni_common.h"

EDGE_JNI(jint, Governor, start)(JNIEnv *env, jclass self, jobject state, jobject choices, jint n) {
    (void)self;
    edge_governor *governor = EDGE_JNI_STRUCT(env, edge_governor, state);
    if (n < 0) return EDGE_ERR_ARGUMENT;
    const edge_choice *from = (const edge_choice *)edge_jni_at(
        env, choices, 0, (jlong)n * (jlong)sizeof *from, 8);
    if (!governor || !from) return EDGE_ERR_ARGUMENT;
    return edge_governor_start(governor, from, (uint32_t)n);
}

EDGE_JNI(jint, Governor, decideNow)(JNIEnv *env, jclass self, jobject state, jobject budget,
                                    jobject signals, jobject decision) {
    (void)self;
    return edge_governor_decide(EDGE_JNI_STRUCT(env, edge_governor, state),
                                EDGE_JNI_STRUCT(env, const edge_budget, budget),
                                EDGE_JNI_STRUCT(env, const edge_signals, signals),
                                EDGE_JNI_STRUCT(env, edge_decision, decision));
}

EDGE_JNI(jint, Governor, observeNow)(JNIEnv *env, jclass self, jobject state, jint choice,
                                     jdouble latency_ms, jdouble energy_mj, jdouble now_s) {
    (void)self;
    return edge_governor_observe(EDGE_JNI_STRUCT(env, edge_governor, state), (uint32_t)choice,
                                 latency_ms, energy_mj, now_s);
}
