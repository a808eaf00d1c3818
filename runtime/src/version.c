#include "edge_runtime.h"

const char *edge_version(void) { return EDGE_VERSION; }
