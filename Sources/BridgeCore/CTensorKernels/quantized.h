// Matrices of whole numbers of 4 or 8 bits with a factor for each group of columns, see ctk_quantized.
//
// A few rows are multiplied without widening the weights to floating point: each row of x becomes whole numbers of 16 bits
// with a factor for each block of columns, which rounds it less than bfloat16 does, and the products of a block are summed
// exactly. What is stored of a weight is larger than its value by half the range, so that bytes need no sign; the sum of
// the x of a block times that is taken off again.

typedef int16_t vw __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb __attribute__((vector_size(2 * LANES)));
typedef uint8_t vb_half __attribute__((vector_size(LANES)));
typedef vw vw_memory __attribute__((aligned(1), may_alias));
typedef vb vb_memory __attribute__((aligned(1), may_alias));
typedef vb_half vb_half_memory __attribute__((aligned(1), may_alias));

// How many factors are made at a time for a row of x, and the bytes of weights that one load covers.
enum { FACTORS_TOGETHER = 128, STEP_BYTES = 2 * LANES };

// Their columns.
INLINE size_t step_width(unsigned bits) { return bits == 4 ? 4 * LANES : 2 * LANES; }

// What stored numbers are too large by.
INLINE float offset_of(unsigned bits) { return bits == 4 ? 8 : 128; }

// The products of pairs of adjacent numbers of 16 bits, added up.
INLINE vi v_dot_words(vi sum, vw a, vw b) {
#if HAS_VNNI
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif LANES == 16
    return sum + (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LANES == 8
    return sum + (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
    vi low_a = (vi)((vu)a << 16) >> 16, low_b = (vi)((vu)b << 16) >> 16;
    return sum + low_a * low_b + ((vi)a >> 16) * ((vi)b >> 16);
#endif
}

// A prepared row: factors of the blocks, their sums times what weights are too large by, and the numbers.

// Where column `i` of x stands: numbers of 4 bits give those of even columns first, then those of odd ones.
INLINE size_t prepared_place(size_t i, unsigned bits) {
    if (bits == 8) return i;
    size_t within = i % (4 * LANES);
    return i - within + within / 2 + (within & 1) * (2 * LANES);
}

static void level_prepare_row(void *prepared, const void *x, ctk_type type, const ctk_quantized *w) {
    size_t width = block_width(w), blocks = block_count(w), all = padded_blocks(w);
    float *factors = prepared, *sums = factors + all;
    int16_t *numbers = (int16_t *)(void *)(sums + all);
    memset(prepared, 0, ctk_prepared_size(w));
    for (size_t block = 0; block < blocks; block++) {
        size_t first = block * width, end = first + width < w->columns ? first + width : w->columns;
        vf most = v_set(0);
        for (size_t i = first; i < end; i += LANES) most = v_max(v_abs(v_load_up_to(x, type, i, end)), most);
        float largest = v_largest(most);
        // Infinity and NaN come out as NaN, as from any other product.
        bool is_finite = largest <= 3.4e38f;
        float inverse = largest > 0 && is_finite ? 32767 / largest : 0;
        if (inverse > 3.4e38f) inverse = 0;
        int64_t sum = 0;
        bool has_nan = false;
        for (size_t i = first; i < end; i++) {
            float value = load_as(x, type, i);
            has_nan |= value != value;
            int32_t number = has_nan ? 0 : (int32_t)(value * inverse + (value < 0 ? -0.5f : 0.5f));
            numbers[prepared_place(i, w->bits)] = (int16_t)number;
            sum += number;
        }
        factors[block] = is_finite && !has_nan ? (inverse > 0 ? largest / 32767 : 0) : __builtin_nanf("");
        sums[block] = (float)sum * offset_of(w->bits);
    }
}

// The factors of weights times those of x, from block `first` on, and what has to be taken off their sums.
INLINE float multiply_factors(float *out, const ctk_quantized *w, size_t row, const float *prepared, size_t first,
                              size_t count, bool is_spread) {
    const uint16_t *scales = w->scales + row * w->scale_stride;
    const float *factors = prepared, *sums = prepared + padded_blocks(w);
    size_t width = block_width(w);
    bool is_block = w->group == width;
    vf off = v_set(0);
    for (size_t i = 0; i < count; i += LANES) {
        size_t block = first + i;
        vf scale;
        if (is_block && i + LANES <= count) scale = v_load_bf16(scales + block);
        else {
            float parts[LANES] = {0};
            for (size_t lane = 0; lane < LANES && i + lane < count; lane++)
                parts[lane] = from_bf16(scales[(block + lane) * width / w->group]);
            scale = v_load(parts);
        }
        vf both = scale * v_load(factors + block);
        off += both * v_load(sums + block);
        if (!is_spread) v_store(out + i, both);
        else
            for (size_t lane = 0; lane < LANES; lane++)
                for (size_t copy = 0; copy < LANES / 2; copy++) out[(i + lane) * (LANES / 2) + copy] = both[lane];
    }
    return v_sum(off);
}

// The products of some blocks, of `steps` loads of weights each, with `x_rows` rows of x; sizes are compile-time constants.
INLINE void project_blocks(vf lanes[CTK_FEW_ROWS], const uint8_t *values, const int16_t *const numbers[CTK_FEW_ROWS],
                           float factors[CTK_FEW_ROWS][FACTORS_TOGETHER * (LANES / 2)], bool is_spread, size_t blocks,
                           size_t steps, size_t x_rows, unsigned bits) {
    const size_t step = step_width(bits);
    for (size_t block = 0; block < blocks; block++) {
        vi products[CTK_FEW_ROWS];
        for (size_t r = 0; r < x_rows; r++) products[r] = (vi){0};
        for (size_t place = block * steps; place < (block + 1) * steps; place++) {
            const uint8_t *from = values + place * STEP_BYTES;
            __builtin_prefetch(from + STREAMED_AHEAD_BYTES);
            vw weights = __builtin_convertvector(*(const vb_memory *)from, vw);
            for (size_t r = 0; r < x_rows; r++) {
                const vw_memory *x = (const vw_memory *)(numbers[r] + place * step);
                if (bits == 4) {
                    products[r] = v_dot_words(products[r], weights & 15, x[0]);
                    products[r] = v_dot_words(products[r], weights >> 4, x[1]);
                } else products[r] = v_dot_words(products[r], weights, x[0]);
            }
        }
        for (size_t r = 0; r < x_rows; r++) {
            vf factor = is_spread ? v_load(factors[r] + block * LANES) : v_set(factors[r][block]);
            lanes[r] += __builtin_convertvector(products[r], vf) * factor;
        }
    }
}

// One row of weights with `x_rows` rows of x; `bits` and `x_rows` are compile-time constants.
INLINE void project_quantized_row(float *sums, const char *prepared, size_t x_rows, const ctk_quantized *w, size_t row,
                                  unsigned bits) {
    const size_t step = step_width(bits), width = block_width(w), blocks = block_count(w), size = ctk_prepared_size(w);
    // Where a load covers two blocks, each half of the lanes has a factor of its own.
    const bool is_spread = width < step && blocks > 1;
    const size_t part_width = is_spread ? step : width;
    const uint8_t *values = w->values + row * w->row_bytes;
    float factors[CTK_FEW_ROWS][FACTORS_TOGETHER * (LANES / 2)];
    vf lanes[CTK_FEW_ROWS];
    float off[CTK_FEW_ROWS];
    const int16_t *numbers[CTK_FEW_ROWS];
    for (size_t r = 0; r < x_rows; r++) {
        lanes[r] = v_set(0);
        off[r] = 0;
    }
    for (size_t first = 0; first < blocks; first += FACTORS_TOGETHER) {
        const size_t count = blocks - first < FACTORS_TOGETHER ? blocks - first : FACTORS_TOGETHER;
        const size_t column = first * width;
        for (size_t r = 0; r < x_rows; r++) {
            const float *x = (const float *)(const void *)(prepared + r * size);
            off[r] += multiply_factors(factors[r], w, row, x, first, count, is_spread);
            numbers[r] = (const int16_t *)(const void *)(x + 2 * padded_blocks(w)) + column;
        }
        const size_t columns = w->columns - column < count * width ? w->columns - column : count * width;
        // A short row is one block of any width, and all of it is an end.
        const size_t parts = part_width % step == 0 ? columns / part_width : 0;
        const uint8_t *from = values + column * bits / 8;
#define BLOCKS(steps) project_blocks(lanes, from, numbers, factors, false, parts, steps, x_rows, bits)
        if (is_spread) project_blocks(lanes, from, numbers, factors, true, parts, 1, x_rows, bits);
        else switch (part_width / step) {
            case 1: BLOCKS(1); break;
            case 2: BLOCKS(2); break;
            case 4: BLOCKS(4); break;
            default: BLOCKS(part_width / step); break;
            }
#undef BLOCKS
        // The end of a row, with zeros up to whole loads.
        const size_t done = parts * part_width;
        if (done == columns) continue;
        uint8_t rest[CTK_QUANTIZED_BLOCK + STEP_BYTES] = {0};
        memcpy(rest, from + done * bits / 8, w->row_bytes - (column + done) * bits / 8);
        for (size_t r = 0; r < x_rows; r++) {
            numbers[r] += done;
            memmove(factors[r], factors[r] + (is_spread ? parts * LANES : parts), LANES * 4);
        }
        project_blocks(lanes, rest, numbers, factors, is_spread, 1, (columns - done + step - 1) / step, x_rows, bits);
    }
    for (size_t r = 0; r < x_rows; r++) sums[r] = v_sum(lanes[r]) - off[r];
}

INLINE void project_quantized(void *out, ctk_type out_type, size_t out_row_stride, const char *prepared, size_t x_rows,
                              const ctk_quantized *w, size_t first, size_t rows, unsigned bits) {
    float sums[CTK_FEW_ROWS];
    for (size_t row = first; row < first + rows; row++) {
        project_quantized_row(sums, prepared, x_rows, w, row, bits);
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
