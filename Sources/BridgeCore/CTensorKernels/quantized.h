// Matrices of whole numbers of 4 or 8 bits with a factor for each group of columns, see ctk_quantized.
//
// A few rows are multiplied without widening the weights to floating point: each row of x becomes whole numbers of 16 bits
// with a factor for each block of columns, which rounds it less than bfloat16 does, and the products of a block are summed
// exactly. What is stored of a weight is larger than its value by half the range, so that bytes need no sign; the sum of
// the x of a block times that is taken off again. Where bytes can be multiplied (VNNI), a number of x is two of them, of
// which the higher counts 256 times.

typedef uint8_t vb_half __attribute__((vector_size(LANES)));
typedef vb_half vb_half_memory __attribute__((aligned(1), may_alias));

// How many factors are made at a time for a row of x.
enum { FACTORS_TOGETHER = 128 };
#if HAS_VNNI
// The bytes of weights that one load covers, and the largest number of x, whose higher byte is at most 127.
enum { STEP_BYTES = 4 * LANES, LARGEST_NUMBER = 127 * 256 + 127 };
typedef int8_t vs __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb_step __attribute__((vector_size(4 * LANES)));
typedef vs vs_memory __attribute__((aligned(1), may_alias));
typedef vb_step vb_step_memory __attribute__((aligned(1), may_alias));
#else
enum { STEP_BYTES = 2 * LANES, LARGEST_NUMBER = 32767 };
typedef int16_t vw __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb __attribute__((vector_size(2 * LANES)));
typedef vw vw_memory __attribute__((aligned(1), may_alias));
typedef vb vb_memory __attribute__((aligned(1), may_alias));
#endif

// Their columns.
INLINE size_t step_width(unsigned bits) { return bits == 4 ? 2 * STEP_BYTES : STEP_BYTES; }

// What stored numbers are too large by.
INLINE float offset_of(unsigned bits) { return bits == 4 ? 8 : 128; }

#if !HAS_VNNI
// The products of pairs of adjacent numbers of 16 bits, added up.
INLINE vi v_dot_words(vi sum, vw a, vw b) {
#if LANES == 16
    return sum + (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LANES == 8
    return sum + (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
    vi low_a = (vi)((vu)a << 16) >> 16, low_b = (vi)((vu)b << 16) >> 16;
    return sum + low_a * low_b + ((vi)a >> 16) * ((vi)b >> 16);
#endif
}
#endif

// The lanes of a vector at even places, and at odd ones, as the first half of it.
#if LANES == 16
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#elif LANES == 8
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#else
#define EVEN_LANES 0, 2
#define ODD_LANES 1, 3
#endif
typedef int32_t vi_half __attribute__((vector_size(2 * LANES)));

// A prepared row: factors of the blocks, their sums times what weights are too large by, and the numbers: for each step
// those of its columns, of 4 bits those of even columns first, then those of odd ones; as bytes the higher ones first.

#if HAS_VNNI
typedef int8_t vs_lanes __attribute__((vector_size(LANES)));
typedef int8_t vs_half __attribute__((vector_size(LANES / 2)));
typedef vs_lanes vs_lanes_memory __attribute__((aligned(1), may_alias));
typedef vs_half vs_half_memory __attribute__((aligned(1), may_alias));

// Stores LANES numbers from column `i` on.
INLINE void v_store_numbers(void *target, size_t i, vi numbers, unsigned bits) {
    size_t width = step_width(bits), within = i % width;
    int8_t *step = (int8_t *)target + (i - within) * 2;
    vi high = (numbers + 128) >> 8, low = numbers - (high << 8);
    if (bits == 8) {
        *(vs_lanes_memory *)(step + within) = __builtin_convertvector(high, vs_lanes);
        *(vs_lanes_memory *)(step + STEP_BYTES + within) = __builtin_convertvector(low, vs_lanes);
        return;
    }
    step += within / 2;
    *(vs_half_memory *)step = __builtin_convertvector(__builtin_shufflevector(high, high, EVEN_LANES), vs_half);
    *(vs_half_memory *)(step + STEP_BYTES) = __builtin_convertvector(__builtin_shufflevector(low, low, EVEN_LANES), vs_half);
    *(vs_half_memory *)(step + 2 * STEP_BYTES) =
        __builtin_convertvector(__builtin_shufflevector(high, high, ODD_LANES), vs_half);
    *(vs_half_memory *)(step + 3 * STEP_BYTES) =
        __builtin_convertvector(__builtin_shufflevector(low, low, ODD_LANES), vs_half);
}
#else
typedef int16_t vw_lanes __attribute__((vector_size(2 * LANES)));
typedef int16_t vw_half __attribute__((vector_size(LANES)));
typedef vw_lanes vw_lanes_memory __attribute__((aligned(1), may_alias));
typedef vw_half vw_half_memory __attribute__((aligned(1), may_alias));

// Stores LANES numbers from column `i` on.
INLINE void v_store_numbers(void *target, size_t i, vi numbers, unsigned bits) {
    size_t width = step_width(bits), within = i % width;
    int16_t *step = (int16_t *)target + i - within;
    if (bits == 8) {
        *(vw_lanes_memory *)(step + within) = __builtin_convertvector(numbers, vw_lanes);
        return;
    }
    step += within / 2;
    *(vw_half_memory *)step = __builtin_convertvector(__builtin_shufflevector(numbers, numbers, EVEN_LANES), vw_half);
    *(vw_half_memory *)(step + STEP_BYTES) =
        __builtin_convertvector(__builtin_shufflevector(numbers, numbers, ODD_LANES), vw_half);
}
#endif

INLINE void prepare_row(void *prepared, const void *x, ctk_type type, const ctk_quantized *w, unsigned bits) {
    size_t width = block_width(w), blocks = block_count(w), all = padded_blocks(w);
    float *factors = prepared, *sums = factors + all;
    void *numbers = sums + all;
    memset(prepared, 0, ctk_prepared_size(w));
    for (size_t block = 0; block < blocks; block++) {
        size_t first = block * width, end = first + width < w->columns ? first + width : w->columns;
        vf most = v_set(0), nothing = v_set(0);
        for (size_t i = first; i < end; i += LANES) {
            vf value = v_load_up_to(x, type, i, end);
            most = v_max(v_abs(value), most);
            nothing += value - value;
        }
        // Infinity and NaN come out as NaN, as from any other product.
        bool is_finite = v_sum(nothing) == 0;
        float largest = v_largest(most);
        float inverse = is_finite && largest > 0 ? LARGEST_NUMBER / largest : 0;
        if (inverse > 3.4e38f) inverse = 0;
        factors[block] = is_finite ? (inverse > 0 ? largest / LARGEST_NUMBER : 0) : __builtin_nanf("");
        if (inverse == 0) continue;
        vi sum = {0};
        for (size_t i = first; i < end; i += LANES) {
            vf value = v_load_up_to(x, type, i, end) * v_set(inverse);
            vi number = __builtin_convertvector(value + v_select(value < v_set(0), v_set(-0.5f), v_set(0.5f)), vi);
            sum += number;
            v_store_numbers(numbers, i, number, bits);
        }
        int64_t total = 0;
        for (size_t lane = 0; lane < LANES; lane++) total += sum[lane];
        sums[block] = (float)total * offset_of(bits);
    }
}

static void level_prepare_row(void *prepared, const void *x, ctk_type type, const ctk_quantized *w) {
    if (w->bits == 4) {
        if (type == CTK_FLOAT32) prepare_row(prepared, x, CTK_FLOAT32, w, 4);
        else prepare_row(prepared, x, CTK_BFLOAT16, w, 4);
    } else if (type == CTK_FLOAT32) prepare_row(prepared, x, CTK_FLOAT32, w, 8);
    else prepare_row(prepared, x, CTK_BFLOAT16, w, 8);
}

// The factors of weights of some blocks from `block` on, zeros after the last one; a group has `blocks` of them.
INLINE vf v_load_scales(const uint16_t *scales, size_t block, size_t count, size_t blocks) {
    if (blocks == 1 && count >= LANES) return v_load_bf16(scales + block);
#if LANES == 16
    if (blocks == 1) {
        __m256i halves = _mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1), scales + block);
        return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
    }
#endif
    float parts[LANES] = {0};
    for (size_t lane = 0; lane < LANES && lane < count; lane++) {
        parts[lane] = from_bf16(scales[(block + lane) / blocks]);
    }
    return v_load(parts);
}

// The factors of weights times those of x, from block `first` on, and what has to be taken off their sums.
INLINE vf multiply_factors(float *out, const ctk_quantized *w, size_t row, const float *prepared, size_t first,
                           size_t count, size_t blocks) {
    const uint16_t *scales = w->scales + row * w->scale_stride;
    const float *factors = prepared, *sums = prepared + padded_blocks(w);
    vf off = v_set(0);
    for (size_t i = 0; i < count; i += LANES) {
        vf both = v_load_scales(scales, first + i, count - i, blocks) * v_load(factors + first + i);
        off += both * v_load(sums + first + i);
        v_store(out + i, both);
    }
    return off;
}

// The factors of the blocks of a step, each in its part of the lanes; `split` is a compile-time constant.
INLINE vf v_spread(const float *factors, size_t split) {
    if (split == 1) return v_set(factors[0]);
    vf all = v_load(factors);
#if LANES == 16
    if (split == 4) return __builtin_shufflevector(all, all, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return __builtin_shufflevector(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
#elif LANES == 8
    return __builtin_shufflevector(all, all, 0, 0, 0, 0, 1, 1, 1, 1);
#else
    return __builtin_shufflevector(all, all, 0, 0, 1, 1);
#endif
}

// What is multiplied at a time: rows of weights, each with the same rows of x. Their numbers are compile-time constants.
enum { MOST_PRODUCTS = 4 };

typedef struct quantized_tile {
    const uint8_t *values[MOST_PRODUCTS]; // of a row of weights
    const char *numbers[CTK_FEW_ROWS];    // of a row of x
    float factors[MOST_PRODUCTS][FACTORS_TOGETHER + LANES]; // of a row of weights and one of x
    vf lanes[MOST_PRODUCTS];
} quantized_tile;

// Adds the products of `parts` blocks of `steps` loads of weights each, or of `parts` loads of `split` blocks each; sizes are
// compile-time constants.
INLINE void project_blocks(quantized_tile *tile, size_t parts, size_t split, size_t steps, size_t w_rows, size_t x_rows,
                           unsigned bits) {
    vf lanes[MOST_PRODUCTS];
    for (size_t i = 0; i < w_rows * x_rows; i++) lanes[i] = tile->lanes[i];
    for (size_t part = 0; part < parts; part++) {
        vi products[MOST_PRODUCTS], high[MOST_PRODUCTS];
        for (size_t i = 0; i < w_rows * x_rows; i++) products[i] = high[i] = (vi){0};
        for (size_t place = part * steps; place < (part + 1) * steps; place++) {
            for (size_t row = 0; row < w_rows; row++) {
                const uint8_t *from = tile->values[row] + place * STEP_BYTES;
                __builtin_prefetch(from + STREAMED_AHEAD_BYTES);
#if HAS_VNNI
                vb_step weights = *(const vb_step_memory *)from;
                vb_step even = bits == 4 ? weights & 15 : weights;
                vb_step odd = (vb_step)((vu)weights >> 4) & 15;
#else
                vw weights = __builtin_convertvector(*(const vb_memory *)from, vw);
#endif
                for (size_t r = 0; r < x_rows; r++) {
                    const void *x = tile->numbers[r] + place * 2 * step_width(bits);
                    size_t i = row * x_rows + r;
#if HAS_VNNI
                    const vs_memory *bytes = x;
                    high[i] = (vi)_mm512_dpbusd_epi32((__m512i)high[i], (__m512i)even, (__m512i)bytes[0]);
                    products[i] = (vi)_mm512_dpbusd_epi32((__m512i)products[i], (__m512i)even, (__m512i)bytes[1]);
                    if (bits == 8) continue;
                    high[i] = (vi)_mm512_dpbusd_epi32((__m512i)high[i], (__m512i)odd, (__m512i)bytes[2]);
                    products[i] = (vi)_mm512_dpbusd_epi32((__m512i)products[i], (__m512i)odd, (__m512i)bytes[3]);
#else
                    const vw_memory *words = x;
                    if (bits == 4) {
                        products[i] = v_dot_words(products[i], weights & 15, words[0]);
                        products[i] = v_dot_words(products[i], weights >> 4, words[1]);
                    } else products[i] = v_dot_words(products[i], weights, words[0]);
#endif
                }
            }
        }
        for (size_t i = 0; i < w_rows * x_rows; i++) {
            vf whole = __builtin_convertvector(products[i] + (high[i] << 8), vf);
            lanes[i] += whole * v_spread(tile->factors[i] + part * split, split);
        }
    }
    for (size_t i = 0; i < w_rows * x_rows; i++) tile->lanes[i] = lanes[i];
}

// Rows of weights from `row` on, `distance` apart, with `x_rows` rows of x: the product of row i and row r of x is
// sums[i * x_rows + r]. As in project_streams the memory is faster with rows far from one another.
INLINE void project_quantized_rows(float *sums, const char *prepared, size_t x_rows, const ctk_quantized *w, size_t row,
                                   size_t distance, size_t w_rows, unsigned bits) {
    const size_t step = step_width(bits), width = block_width(w), blocks = block_count(w), size = ctk_prepared_size(w);
    // A load may cover several blocks, each of which has its factor in a part of the lanes; a group may have several blocks.
    const size_t split = width < step && blocks > 1 ? step / width : 1;
    const size_t blocks_of_group = (w->group + width - 1) / width;
    const size_t part_width = width * split;
    quantized_tile tile;
    vf off[MOST_PRODUCTS];
    for (size_t i = 0; i < w_rows * x_rows; i++) tile.lanes[i] = off[i] = v_set(0);
    for (size_t first = 0; first < blocks; first += FACTORS_TOGETHER) {
        const size_t count = blocks - first < FACTORS_TOGETHER ? blocks - first : FACTORS_TOGETHER;
        const size_t column = first * width;
        for (size_t r = 0; r < x_rows; r++) {
            const float *x = (const float *)(const void *)(prepared + r * size);
            for (size_t i = 0; i < w_rows; i++)
                off[i * x_rows + r] +=
                    multiply_factors(tile.factors[i * x_rows + r], w, row + i * distance, x, first, count, blocks_of_group);
            tile.numbers[r] = (const char *)(x + 2 * padded_blocks(w)) + 2 * column;
        }
        const size_t columns = w->columns - column < count * width ? w->columns - column : count * width;
        // A short row is one block of any width, and all of it is an end.
        const size_t parts = part_width % step == 0 ? columns / part_width : 0;
        for (size_t i = 0; i < w_rows; i++) tile.values[i] = w->values + (row + i * distance) * w->row_bytes + column * bits / 8;
#define BLOCKS(parts, split, steps) project_blocks(&tile, parts, split, steps, w_rows, x_rows, bits)
        if (split == 4) BLOCKS(parts, 4, 1);
        else if (split == 2) BLOCKS(parts, 2, 1);
        else if (part_width / step == 1) BLOCKS(parts, 1, 1);
        else if (part_width / step == 2) BLOCKS(parts, 1, 2);
        else BLOCKS(parts, 1, part_width / step);
        // The end of a row, with zeros up to whole loads.
        const size_t done = parts * part_width;
        if (done == columns) continue;
        uint8_t rest[MOST_PRODUCTS][CTK_QUANTIZED_BLOCK + STEP_BYTES];
        for (size_t i = 0; i < w_rows; i++) {
            memset(rest[i], 0, sizeof rest[i]);
            memcpy(rest[i], tile.values[i] + done * bits / 8, w->row_bytes - (column + done) * bits / 8);
            tile.values[i] = rest[i];
        }
        for (size_t r = 0; r < x_rows; r++) tile.numbers[r] += 2 * done;
        for (size_t i = 0; i < w_rows * x_rows; i++)
            memmove(tile.factors[i], tile.factors[i] + parts * split, LANES * sizeof(float));
        if (split == 4) BLOCKS(1, 4, 1);
        else if (split == 2) BLOCKS(1, 2, 1);
        else BLOCKS(1, 1, (columns - done + step - 1) / step);
#undef BLOCKS
    }
    if (w_rows * x_rows == MOST_PRODUCTS) {
        *(v4_memory *)sums = v_sums(tile.lanes[0] - off[0], tile.lanes[1] - off[1], tile.lanes[2] - off[2], tile.lanes[3] - off[3]);
        return;
    }
    // In the order of v_sums: the bits do not depend on how many products there are.
    for (size_t i = 0; i < w_rows * x_rows; i++) {
        vf lanes = tile.lanes[i] - off[i];
        sums[i] = v_sums(lanes, lanes, lanes, lanes)[0];
    }
}

INLINE void project_quantized(void *out, ctk_type out_type, size_t out_row_stride, const char *prepared, size_t x_rows,
                              const ctk_quantized *w, size_t first, size_t rows, unsigned bits) {
    // Few rows of x leave registers for several rows of weights, whose products do not wait for each other.
    const size_t together = x_rows == 1 ? 4 : x_rows == 2 ? 2 : 1;
    float sums[MOST_PRODUCTS];
    const size_t part = rows / together;
    for (size_t row = first; row < first + part; row++) {
        project_quantized_rows(sums, prepared, x_rows, w, row, part, together, bits);
        for (size_t i = 0; i < together; i++)
            for (size_t r = 0; r < x_rows; r++)
                store_as(out, out_type, r * out_row_stride + row + i * part, sums[i * x_rows + r]);
    }
    for (size_t row = first + together * part; row < first + rows; row++) {
        project_quantized_rows(sums, prepared, x_rows, w, row, 1, 1, bits);
        for (size_t r = 0; r < x_rows; r++) store_as(out, out_type, r * out_row_stride + row, sums[r]);
    }
}

#define PROJECT_QUANTIZED(count, bits)                                                                              \
    project_quantized(out, out_type, out_row_stride, prepared, count, w, first, rows, bits)

static void level_project_quantized(void *out, ctk_type out_type, size_t out_row_stride, const void *prepared, size_t x_rows,
                                    const ctk_quantized *w, size_t first, size_t rows) {
    if (w->bits == 4) switch (x_rows) {
        case 1: PROJECT_QUANTIZED(1, 4); break;
        case 2: PROJECT_QUANTIZED(2, 4); break;
        case 3: PROJECT_QUANTIZED(3, 4); break;
        case 4: PROJECT_QUANTIZED(4, 4); break;
        }
    else switch (x_rows) {
        case 1: PROJECT_QUANTIZED(1, 8); break;
        case 2: PROJECT_QUANTIZED(2, 8); break;
        case 3: PROJECT_QUANTIZED(3, 8); break;
        case 4: PROJECT_QUANTIZED(4, 8); break;
        }
}

// The numbers of a group, each as float32 times the group's factor.
INLINE void dequantize_group(void *out, ctk_type type, size_t at, const uint8_t *values, size_t count, float factor,
                             unsigned bits) {
    vf scale = v_set(factor), off = v_set(offset_of(bits));
    size_t i = 0;
    if (bits == 8)
        for (; i + LANES <= count; i += LANES) {
            vf number = __builtin_convertvector(__builtin_convertvector(*(const vb_half_memory *)(values + i), vu), vf);
            v_store_as(out, type, at + i, (number - off) * scale);
        }
    else
        for (; i + 2 * LANES <= count; i += 2 * LANES) {
            vu bytes = __builtin_convertvector(*(const vb_half_memory *)(values + i / 2), vu);
            vf even = (__builtin_convertvector(bytes & 15, vf) - off) * scale;
            vf odd = (__builtin_convertvector(bytes >> 4, vf) - off) * scale;
            if (type == CTK_FLOAT32) v_store_zipped((float *)out + at + i, even, odd);
            else {
                // Finite factors make finite numbers, so rounding needs no test for NaN.
                vu low = (vu)even, high = (vu)odd;
                low = (low + 0x7fffu + (low >> 16 & 1)) >> 16;
                high = (high + 0x7fffu + (high >> 16 & 1)) & 0xffff0000u;
                *(vu_memory *)((uint16_t *)out + at + i) = low | high;
            }
        }
    for (; i < count; i++) {
        float number = bits == 8 ? values[i] : values[i / 2] >> (i & 1) * 4 & 15;
        store_as(out, type, at + i, (number - offset_of(bits)) * factor);
    }
}

static void level_dequantize(void *out, ctk_type type, size_t out_stride, const ctk_quantized *w, size_t first_row,
                             size_t rows, size_t first_column, size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        const uint8_t *values = w->values + (first_row + row) * w->row_bytes;
        const uint16_t *scales = w->scales + (first_row + row) * w->scale_stride;
        for (size_t i = first_column; i < first_column + columns;) {
            size_t group = i / w->group, end = (group + 1) * w->group;
            if (end > first_column + columns) end = first_column + columns;
            size_t at = row * out_stride + i - first_column;
            float factor = from_bf16(scales[group]);
            if (w->bits == 4) {
                if (type == CTK_FLOAT32) dequantize_group(out, CTK_FLOAT32, at, values + i / 2, end - i, factor, 4);
                else dequantize_group(out, CTK_BFLOAT16, at, values + i / 2, end - i, factor, 4);
            } else if (type == CTK_FLOAT32) dequantize_group(out, CTK_FLOAT32, at, values + i, end - i, factor, 8);
            else dequantize_group(out, CTK_BFLOAT16, at, values + i, end - i, factor, 8);
            i = end;
        }
    }
}

// A group of at most the width of a row: its factor, and the numbers. The value of the largest magnitude becomes the
// smallest number of 4 bits, whose range reaches one further below zero than above.
INLINE void quantize_group(uint8_t *values, uint16_t *scale, const void *x, ctk_type type, size_t first, size_t end,
                           unsigned bits) {
    vf least = v_set(0), most = v_set(0), nothing = v_set(0);
    for (size_t i = first; i < end; i += LANES) {
        vf value = v_load_up_to(x, type, i, end);
        least = v_min(value, least);
        most = v_max(value, most);
        nothing += value - value;
    }
    float highest = v_largest(most), lowest = -v_largest(-least);
    float extreme = -lowest > highest ? lowest : highest, largest = extreme < 0 ? -extreme : extreme;
    *scale = to_bf16(bits == 4 ? extreme / -8 : largest / 127);
    // A weight that is NaN or infinite makes its group NaN.
    if (v_sum(nothing) != 0) *scale = 0x7fc0;
    if (!values) return;
    float factor = from_bf16(*scale);
    float inverse = factor != 0 ? 1 / factor : 0;
    vf scales = v_set(inverse), low = v_set(bits == 4 ? 0 : 1), high = v_set(bits == 4 ? 15 : 255);
    // Half to even, as torch.round does: adding 2^23 leaves no bits of a fraction. Numbers here are not negative.
    vf off = v_set(offset_of(bits)), whole = v_set(8388608);
    for (size_t i = first; i < end; i += LANES) {
        vf number = v_load_up_to(x, type, i, end) * scales;
        number = v_min(v_max(number + off, low), high);
        number = (number + whole) - whole;
        vu integer = __builtin_convertvector(number, vu);
        uint32_t parts[LANES];
        *(vu_memory *)parts = integer;
        size_t count = end - i < LANES ? end - i : LANES;
        if (bits == 8)
            for (size_t lane = 0; lane < count; lane++) values[i + lane] = (uint8_t)parts[lane];
        else
            for (size_t lane = 0; lane < count; lane++)
                values[(i + lane) / 2] |= (uint8_t)(parts[lane] << ((i + lane) & 1) * 4);
    }
}

static void level_quantize(uint8_t *values, uint16_t *scales, const ctk_quantized *w, const void *x, ctk_type type,
                           size_t x_stride, size_t rows) {
    for (size_t row = 0; row < rows; row++) {
        const char *source = (const char *)x + row * x_stride * byte_count(type);
        uint8_t *target = values ? values + row * w->row_bytes : NULL;
        if (target) memset(target, 0, w->row_bytes);
        for (size_t first = 0, group = 0; first < w->columns; first += w->group, group++) {
            size_t end = first + w->group < w->columns ? first + w->group : w->columns;
            uint16_t *scale = scales + row * w->scale_stride + group;
            if (w->bits == 4) quantize_group(target, scale, source, type, first, end, 4);
            else quantize_group(target, scale, source, type, first, end, 8);
        }
    }
}
