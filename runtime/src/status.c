#include "edge_runtime.h"

const char *edge_status_text(edge_status status) {
    switch (status) {
#define EDGE_TEXT_(name, value, text) \
    case EDGE_##name:                 \
        return text;
        EDGE_STATUSES(EDGE_TEXT_)
#undef EDGE_TEXT_
    }
    return "a status this core does not know";
}
