/*
 * The embeddable core of the Edge SDK: C99, no allocation, no globals.
 *
 * This is the only public header. EDGE_VERSION is the version of the whole
 * project: the build and the Python package read it from here.
 */
#ifndef EDGE_RUNTIME_H
#define EDGE_RUNTIME_H

#define EDGE_VERSION "0.1.0"

#if defined(__GNUC__)
#define EDGE_API __attribute__((visibility("default")))
#else
#define EDGE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Return EDGE_VERSION as it was when the library was compiled. Never NULL; never freed. */
EDGE_API const char *edge_version(void);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_RUNTIME_H */
