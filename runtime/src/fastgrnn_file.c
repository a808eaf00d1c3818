/* Opening a .grnn file: nothing is used that was not looked at. The format is in FORMAT.md. */
#include "container.h"
#include "fastgrnn.h"

#define LARGEST 3.402823466e38f

enum { N_FACTORS = 5, CELL_SIZE = 64 };

/* What CELL says, but for zeta and nu. */
typedef struct cell_header {
    uint32_t rank_w, rank_u, n_classes, gate, update, arithmetic;
    uint32_t nonzeros[N_FACTORS]; /* of w, u, and the head; EDGE_NONE: dense */
} cell_header;

static size_t lanes(size_t n) { return edge_fastgrnn_lanes(n); }

static EDGE_SMALL int all_finite(const float *values, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] <= LARGEST && values[i] >= -LARGEST)) return 0;
    return 1;
}

/* The factors in the order of the file; 0 for ranks above what they factorize. */
static EDGE_SMALL int shape_factors(edge_fastgrnn *cell, edge_factor *factors[N_FACTORS])
{
    const uint32_t h = cell->n_hidden;
    const uint32_t n_in[2] = {cell->n_inputs, h}, ranks[2] = {cell->rank_w, cell->rank_u};
    for (int i = 0; i < 2; i++) {
        edge_factor *pair = i ? cell->u : cell->w;
        if (ranks[i] > n_in[i] || ranks[i] > h) return 0;
        pair[0].n_in = n_in[i];
        pair[0].n_out = ranks[i];
        pair[1].n_in = ranks[i] ? ranks[i] : n_in[i];
        pair[1].n_out = h;
        factors[2 * i] = &pair[0];
        factors[2 * i + 1] = &pair[1];
    }
    cell->head.n_in = h;
    cell->head.n_out = cell->n_classes;
    factors[4] = &cell->head;
    return 1;
}

static EDGE_SMALL int take_cell(edge_fastgrnn *cell, cell_header *header, const uint8_t *data,
                                uint64_t size)
{
    if (size != CELL_SIZE) return 0;
    memcpy(header, data, sizeof *header);
    memcpy(&cell->zeta, data + 48, 4);
    memcpy(&cell->nu, data + 52, 4);
    cell->rank_w = header->rank_w;
    cell->rank_u = header->rank_u;
    cell->n_classes = header->n_classes;
    cell->gate = header->gate;
    cell->update = header->update;
    cell->integers = header->arithmetic;
    return header->arithmetic <= 1 && header->n_classes <= EDGE_FASTGRNN_MAX && header->gate <= EDGE_QUANT_TANH &&
           header->update <= EDGE_QUANT_TANH && edge_load32(data + 44) == 0 &&
           edge_load64(data + 56) == 0 && cell->zeta >= 0 && cell->zeta <= 1 && cell->nu >= 0 &&
           cell->nu <= 1;
}

/* The numbers of a cell in integers: any value that passes keeps shifts within 30. */
static EDGE_SMALL int take_fixed(edge_fastgrnn *cell, const uint8_t *data, uint64_t size)
{
    int32_t numbers[12];
    if (size != sizeof numbers) return 0;
    memcpy(numbers, data, sizeof numbers);
    for (int i = 0; i < 12; i++)
        if (numbers[i] < -32768 || numbers[i] > 32767 || (i > 8 && numbers[i])) return 0;
    cell->input_bits = numbers[0];
    cell->state_bits = numbers[2];
    cell->logit_bits = numbers[3];
    cell->x_shift = numbers[4];
    cell->zeta_q = numbers[7];
    cell->nu_q = numbers[8];
    return cell->input_bits >= -60 && cell->input_bits <= 60 && cell->logit_bits >= -60 &&
           cell->logit_bits <= 60 && cell->state_bits >= 0 && cell->state_bits <= 15 &&
           cell->x_shift >= -30 && cell->x_shift <= 30 && cell->zeta_q >= 0 && cell->nu_q >= 0;
}

/* `size` bytes from *at on, the next ones 64-byte aligned; NULL beyond the end. */
static EDGE_SMALL const uint8_t *take(const edge_section *section, const uint8_t *bytes,
                                      uint64_t *at, uint64_t size)
{
    const uint64_t from = *at;
    if (from > section->size || size > section->size - from) return NULL;
    *at = (from + size + EDGE_ALIGNMENT - 1) / EDGE_ALIGNMENT * EDGE_ALIGNMENT;
    return bytes + section->offset + from;
}

/* Rows rise within the file and indices within their row, below n_out: always looked at. */
static EDGE_SMALL int sparse_sound(const edge_factor *f, uint32_t n)
{
    if (f->starts[0] != 0 || f->starts[f->n_in] != n) return 0;
    for (uint32_t i = 0; i < f->n_in; i++) {
        uint32_t least = 0;
        if (f->starts[i] > f->starts[i + 1] || f->starts[i + 1] > n) return 0;
        for (uint32_t j = f->starts[i]; j < f->starts[i + 1]; j++) {
            const uint32_t index = edge_fastgrnn_index(f, j);
            if (index < least || index >= f->n_out) return 0;
            least = index + 1;
        }
    }
    return 1;
}

static EDGE_SMALL int take_factor(edge_factor *f, uint32_t nonzeros, const edge_section *section,
                                  const uint8_t *bytes, uint64_t *at, int verify)
{
    const int dense = nonzeros == EDGE_NONE;
    const uint64_t n = dense ? (uint64_t)edge_align(f->n_in, 2) * edge_fastgrnn_width(f->n_out) : nonzeros;
    if (!f->n_out) return dense;
    f->values = (const float *)(const void *)take(section, bytes, at, n * 4);
    if (!f->values || (verify && !all_finite(f->values, n))) return 0;
    if (dense) return 1;
    f->starts = (const uint32_t *)(const void *)take(section, bytes, at, 4 * (f->n_in + 1ull));
    f->indices = take(section, bytes, at, n * (f->n_out > 256 ? 2 : 1));
    return f->starts && f->indices && sparse_sound(f, nonzeros);
}

/* Dense; shifts are always looked at. */
static EDGE_SMALL int take_integers(edge_factor *f, uint32_t nonzeros,
                                    const edge_section *section, const uint8_t *bytes,
                                    uint64_t *at)
{
    if (nonzeros != EDGE_NONE) return 0;
    if (!f->n_out) return 1;
    f->q = (const int8_t *)take(section, bytes, at, (uint64_t)f->n_in * f->n_out);
    f->shifts = (const int8_t *)take(section, bytes, at, f->n_out);
    if (!f->q || !f->shifts) return 0;
    for (uint32_t i = 0; i < f->n_out; i++)
        if (f->shifts[i] < -30 || f->shifts[i] > 30) return 0;
    return 1;
}

static EDGE_SMALL int take_weights(edge_fastgrnn *cell, const cell_header *header,
                                   const edge_section *section, const uint8_t *bytes, int verify)
{
    edge_factor *factors[N_FACTORS];
    uint64_t at = 0;
    if (!shape_factors(cell, factors)) return 0;
    for (int i = 0; i < N_FACTORS; i++)
        if (cell->integers
                ? !take_integers(factors[i], header->nonzeros[i], section, bytes, &at)
                : !take_factor(factors[i], header->nonzeros[i], section, bytes, &at, verify))
            return 0;
    return section->size == at;
}

static EDGE_SMALL int take_biases(edge_fastgrnn *cell, const edge_section *section,
                                  const uint8_t *bytes, int verify)
{
    const size_t h = lanes(cell->n_hidden);
    const uint64_t n = 2 * (uint64_t)h + lanes(cell->n_classes);
    if (cell->integers) {
        cell->gate_q = (const int16_t *)(const void *)(bytes + section->offset);
        cell->update_q = cell->gate_q + h;
        cell->head_q = (const int32_t *)(const void *)(cell->update_q + h);
        return section->size == 4 * (uint64_t)h + 4 * (uint64_t)lanes(cell->n_classes);
    }
    if (section->size != n * 4) return 0;
    cell->bias_gate = (const float *)(const void *)(bytes + section->offset);
    cell->bias_update = cell->bias_gate + h;
    cell->bias_head = cell->bias_gate + 2 * h;
    return !verify || all_finite(cell->bias_gate, n);
}

static EDGE_SMALL int take_norm(edge_fastgrnn *cell, const edge_section *section,
                                const uint8_t *bytes, int verify)
{
    const size_t n = lanes(cell->n_inputs);
    if (!section) return 1;
    if (cell->integers) {
        cell->mean_q = (const int16_t *)(const void *)(bytes + section->offset);
        cell->multiplier_q = cell->mean_q + n;
        return section->size == 4 * (uint64_t)n;
    }
    if (section->size != 8 * (uint64_t)n) return 0;
    cell->mean = (const float *)(const void *)(bytes + section->offset);
    cell->scale = cell->mean + n;
    return !verify || all_finite(cell->mean, 2 * (uint64_t)n);
}

/* The sections that a cell is made of; NULL where there is none. */
typedef struct parts {
    const edge_section *cell, *weights, *biases, *norm, *fixed;
} parts;

static EDGE_SMALL edge_status find_parts(const edge_file *file, parts *found)
{
    memset(found, 0, sizeof *found);
    for (uint32_t i = 0; i < file->n_sections; i++) {
        const edge_section *section = &file->sections[i];
        switch (section->tag) {
        case EDGE_TAG_CELL:
            found->cell = section;
            break;
        case EDGE_TAG_WEIGHTS:
            found->weights = section;
            break;
        case EDGE_TAG_BIAS:
            found->biases = section;
            break;
        case EDGE_TAG_NORM:
            found->norm = section;
            break;
        case EDGE_TAG_FIXED:
            found->fixed = section;
            break;
        default:
            if (edge_essential(section->tag)) return EDGE_ERR_VERSION;
        }
    }
    return found->cell && found->weights && found->biases ? EDGE_OK : EDGE_ERR_FORMAT;
}

EDGE_SMALL
edge_status edge_fastgrnn_open(const uint8_t *bytes, size_t size, uint32_t flags,
                               edge_fastgrnn *cell)
{
    const int verify = !(flags & EDGE_UNVERIFIED);
    edge_file file;
    cell_header header;
    parts found;
    edge_status status;
    if (!cell) return EDGE_ERR_ARGUMENT;
    memset(cell, 0, sizeof *cell);
    status = edge_file_open(bytes, size, flags, &file);
    if (status != EDGE_OK) return status;
    if (file.kind != EDGE_KIND_FASTGRNN) return EDGE_ERR_FORMAT;
    status = find_parts(&file, &found);
    if (status != EDGE_OK) return status;
    cell->n_inputs = file.bits;
    cell->n_hidden = (uint32_t)file.n;
    if (take_cell(cell, &header, bytes + found.cell->offset, found.cell->size) &&
        (cell->integers ? found.fixed && take_fixed(cell, bytes + found.fixed->offset,
                                                    found.fixed->size)
                        : !found.fixed) &&
        take_weights(cell, &header, found.weights, bytes, verify) &&
        take_biases(cell, found.biases, bytes, verify) &&
        take_norm(cell, found.norm, bytes, verify))
        return EDGE_OK;
    memset(cell, 0, sizeof *cell);
    return EDGE_ERR_FORMAT;
}
