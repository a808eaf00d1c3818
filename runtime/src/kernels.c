#include "kernels.h"

static const edge_kernels *const kernels_of_build[] = {
#define EDGE_KERNEL(isa) &edge_kernels__##isa,
#include "kernels.def"
#undef EDGE_KERNEL
};

#define N_KERNELS_OF_BUILD (sizeof kernels_of_build / sizeof kernels_of_build[0])

/* Where nothing runs constructors, as on bare metal, the scalar kernels stay in use. */
static const edge_kernels *active = &edge_kernels__scalar;

static int same_text(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

#if defined(__GNUC__)
__attribute__((constructor)) static void choose_kernels(void)
{
    size_t i;
    for (i = 0; i < N_KERNELS_OF_BUILD; i++) {
        if (kernels_of_build[i]->available()) {
            active = kernels_of_build[i];
        }
    }
}
#endif

const edge_kernels *edge_kernels_active(void) { return active; }

const char *edge_isa(void) { return active->isa; }

size_t edge_isa_count(void)
{
    size_t n = 0;
    size_t i;
    for (i = 0; i < N_KERNELS_OF_BUILD; i++) {
        n += kernels_of_build[i]->available() != 0;
    }
    return n;
}

const char *edge_isa_name(size_t i)
{
    size_t j;
    for (j = 0; j < N_KERNELS_OF_BUILD; j++) {
        if (kernels_of_build[j]->available() && i-- == 0) {
            return kernels_of_build[j]->isa;
        }
    }
    return NULL;
}

edge_status edge_isa_use(const char *isa)
{
    size_t i;
    if (isa == NULL) {
        return EDGE_ERR_ARGUMENT;
    }
    for (i = 0; i < N_KERNELS_OF_BUILD; i++) {
        if (same_text(kernels_of_build[i]->isa, isa) && kernels_of_build[i]->available()) {
            active = kernels_of_build[i];
            return EDGE_OK;
        }
    }
    return EDGE_ERR_ARGUMENT;
}
