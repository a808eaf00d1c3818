/* XXH64 with seed 0, after its public specification (Yann Collet, xxHash, doc/xxhash_spec.md). */
#include "bytes.h"
#include "edge_runtime.h"

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static uint64_t step(uint64_t lane, uint64_t input) { return rotate(lane + input * P2, 31) * P1; }

void edge_digest_start(edge_digest *digest) {
    digest->lanes[0] = (uint64_t)P1 + P2;
    digest->lanes[1] = P2;
    digest->lanes[2] = 0;
    digest->lanes[3] = (uint64_t)0 - P1;
    digest->length = 0;
    memset(digest->pending, 0, sizeof digest->pending);
}

static void stripes(edge_digest *digest, const uint8_t *bytes, size_t n_stripes) {
    uint64_t a = digest->lanes[0], b = digest->lanes[1];
    uint64_t c = digest->lanes[2], d = digest->lanes[3];
    for (; n_stripes; n_stripes--, bytes += 32) {
        a = step(a, edge_load64(bytes));
        b = step(b, edge_load64(bytes + 8));
        c = step(c, edge_load64(bytes + 16));
        d = step(d, edge_load64(bytes + 24));
    }
    digest->lanes[0] = a;
    digest->lanes[1] = b;
    digest->lanes[2] = c;
    digest->lanes[3] = d;
}

void edge_digest_add(edge_digest *digest, const uint8_t *bytes, size_t size) {
    const size_t held = digest->length % 32;
    if (size == 0) return;
    digest->length += size;
    if (held) {
        const size_t room = 32 - held, taken = size < room ? size : room;
        memcpy(digest->pending + held, bytes, taken);
        bytes += taken;
        size -= taken;
        if (taken < room) return;
        stripes(digest, digest->pending, 1);
    }
    stripes(digest, bytes, size / 32);
    if (size % 32) memcpy(digest->pending, bytes + size / 32 * 32, size % 32);
}

uint64_t edge_digest_value(const edge_digest *digest) {
    const uint8_t *at = digest->pending, *end = at + digest->length % 32;
    uint64_t sum = P5;
    if (digest->length >= 32) {
        static const unsigned turns[4] = {1, 7, 12, 18};
        sum = 0;
        for (int i = 0; i < 4; i++) sum += rotate(digest->lanes[i], turns[i]);
        for (int i = 0; i < 4; i++) sum = (sum ^ step(0, digest->lanes[i])) * P1 + P4;
    }
    sum += digest->length;
    for (; end - at >= 8; at += 8) sum = rotate(sum ^ step(0, edge_load64(at)), 27) * P1 + P4;
    for (; end - at >= 4; at += 4)
        sum = rotate(sum ^ edge_load32(at) * (uint64_t)P1, 23) * P2 + P3;
    for (; at < end; at++) sum = rotate(sum ^ *at * (uint64_t)P5, 11) * P1;
    sum = (sum ^ sum >> 33) * P2;
    sum = (sum ^ sum >> 29) * P3;
    return sum ^ sum >> 32;
}
