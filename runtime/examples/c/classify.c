/*
 * Decode class codes: classify CODES.llc SCORES.f32
 *
 * CODES.llc   is what edge_sdk.CodeIndex saves: a code of k bits for each class.
 * SCORES.f32  holds float32 rows of k numbers, what a network says of each bit of
 *             an input: positive for a one. Little-endian, nothing before or between.
 *
 * Prints for each row the most likely class, what its bits cost, and whether the
 * plain signs are the code of any class: an input of no class seldom has one.
 */
#include <edge_runtime.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file's bytes, mapped: only the pages that are used become memory. NULL on failure. */
static const uint8_t *map_file(const char *path, size_t *size)
{
    struct stat about;
    void *bytes = MAP_FAILED;
    const int file = open(path, O_RDONLY);
    if (file >= 0 && fstat(file, &about) == 0 && about.st_size > 0) {
        *size = (size_t)about.st_size;
        bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
    }
    if (file >= 0) close(file);
    if (bytes == MAP_FAILED) {
        perror(path);
        return NULL;
    }
    return bytes;
}

/* The signs of k <= 64 scores as a word: bit j is one where score j is not negative. */
static uint64_t signs(const float *scores, uint32_t k)
{
    uint64_t word = 0;
    uint32_t j;
    for (j = 0; j < k; j++) {
        word |= (uint64_t)(scores[j] >= 0) << j;
    }
    return word;
}

/* One row: its class by ordered-reliability decoding, and whether its signs are a code. */
static edge_status decode(const edge_llc *index, const float *scores, void *workspace,
                          size_t workspace_size)
{
    const uint64_t word = signs(scores, index->bits);
    edge_ordered best;
    uint32_t exact;
    edge_status status = edge_ord_decode(index, scores, 1, EDGE_LOOKUPS_AUTO, EDGE_FALLBACK_SOFT,
                                         workspace, workspace_size, &best);
    if (status == EDGE_OK) {
        status = edge_ed_decode(index, &word, 1, &exact);
    }
    if (status == EDGE_OK) {
        printf("class %u  penalty %.6g  %s\n", (unsigned)best.id, best.penalty,
               exact == EDGE_NONE ? "unknown" : "known");
    }
    return status;
}

int main(int argc, char **argv)
{
    const uint8_t *codes, *rows;
    size_t codes_size, rows_size, row_size, i;
    size_t workspace_size;
    void *workspace;
    edge_llc index;
    edge_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: classify CODES.llc SCORES.f32\n");
        return 2;
    }
    codes = map_file(argv[1], &codes_size);
    rows = map_file(argv[2], &rows_size);
    if (codes == NULL || rows == NULL) {
        return 1;
    }
    /* Every byte is checked here; whatever the file, later calls stay inside of it. */
    status = edge_llc_open(codes, codes_size, 0, &index);
    if (status != EDGE_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], edge_status_text(status));
        return 1;
    }
    row_size = index.bits * sizeof(float);
    if (index.kind != EDGE_KIND_CLASSES || index.bits > 64 || rows_size % row_size != 0) {
        fprintf(stderr, "expected codes of classes, of up to 64 bits, and whole rows of scores; "
                        "got kind %u, %u bits and %zu bytes\n",
                (unsigned)index.kind, (unsigned)index.bits, rows_size);
        return 1;
    }
    /* The core allocates nothing: its scratch room is ours. */
    workspace_size = edge_ord_workspace_size(edge_ord_choose(&index));
    workspace = malloc(workspace_size ? workspace_size : 1);
    for (i = 0; i < rows_size && workspace != NULL && status == EDGE_OK; i += row_size) {
        status = decode(&index, (const float *)(const void *)(rows + i), workspace, workspace_size);
    }
    if (workspace == NULL || status != EDGE_OK) {
        fprintf(stderr, "row %zu: %s\n", i / row_size,
                workspace == NULL ? "no memory" : edge_status_text(status));
        return 1;
    }
    free(workspace);
    return 0;
}
