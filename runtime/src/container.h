/* What the kinds of files share: head, section table, digests (FORMAT.md). */
#ifndef EDGE_CONTAINER_H
#define EDGE_CONTAINER_H

#include "bytes.h"
#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EDGE_FILE_VERSION 1u
#define EDGE_FILE_HEAD 64u
#define EDGE_FILE_ENTRY 32u

/* An uppercase first letter means: who does not know this section can not use the file. */
static inline int edge_essential(uint32_t tag) {
    return (tag & 0xff) >= 'A' && (tag & 0xff) <= 'Z';
}

#ifdef __cplusplus
}
#endif

#endif /* EDGE_CONTAINER_H */
