#include <string.h>

#include "edge_runtime.h"

int main(void) { return strcmp(edge_version(), EDGE_VERSION) == 0 ? 0 : 1; }
