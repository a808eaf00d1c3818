/* What the core takes of a system; Android's libc has it. No header of Android is needed. */
#ifndef EDGE_ANDROID_STRING_H
#define EDGE_ANDROID_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

#endif /* EDGE_ANDROID_STRING_H */
