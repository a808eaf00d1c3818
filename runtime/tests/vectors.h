/* Reading the vectors, one case a line, and trying each on every instruction set. */
#ifndef EDGE_TESTS_VECTORS_H
#define EDGE_TESTS_VECTORS_H

#include "check.h"

enum { MAX_LINE = 1 << 17 };

static const char *folder; /* of the vectors; NULL: where they lie from the build folder */

static inline FILE *vectors(const char *name) {
    static const char *const guesses[] = {"tests/vectors", "../tests/vectors",
                                          "../../tests/vectors"};
    char path[4096];
    FILE *file = NULL;
    for (size_t i = 0; !file && i < (folder ? 1 : sizeof guesses / sizeof *guesses); i++) {
        snprintf(path, sizeof path, "%s/%s", folder ? folder : guesses[i], name);
        file = fopen(path, "r");
    }
    if (!file) {
        fprintf(stderr, "expected the vectors' folder as the argument, got no %s\n", name);
        exit(2);
    }
    return file;
}

/* The next case, its columns parted by zeros; NULL at the end. The arrow is no column. */
static inline char *next_case(FILE *file, char *line, char **columns, int n_columns) {
    while (fgets(line, MAX_LINE, file)) {
        char *at = line;
        if (*line == '#' || *line == '\n') continue;
        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i < n_columns; i++) {
            columns[i] = at;
            at += strcspn(at, " ");
            if (*at) *at++ = '\0';
            if (strncmp(at, "-> ", 3) == 0) at += 3;
            CHECK(*columns[i] != '\0');
        }
        CHECK(*at == '\0');
        current = line;
        return line;
    }
    return NULL;
}

/* Calls `body` with every instruction set in use. */
static inline void on_every_isa(void (*body)(void *), void *argument) {
    for (size_t i = 0; i < edge_isa_count(); i++) {
        EXPECT(EDGE_OK, edge_isa_use(edge_isa_name(i)));
        CHECK(strcmp(edge_isa(), edge_isa_name(i)) == 0);
        body(argument);
    }
}

#endif /* EDGE_TESTS_VECTORS_H */
