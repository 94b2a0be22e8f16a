// Products of blocks by AMX: tiles of 16 rows of 64 bytes, here four sums, two of rows and two of columns.

typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_per_row[16];
    uint8_t rows[16];
} tile_shapes;

// Before and after the tiles of a thread are used.
INLINE void begin_tiles(void) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.bytes_per_row[i] = 64;
        shapes.rows[i] = 16;
    }
    _tile_loadconfig(&shapes);
}

INLINE void end_tiles(void) { _tile_release(); }

INLINE void tile_product(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                         size_t rows, size_t columns, size_t words, bool adds) {
    for (size_t column = 0; column < columns; column += 32)
        for (size_t row = 0; row < rows; row += 32) {
            float *target = c + row * c_stride + column;
            if (adds) {
                _tile_loadd(0, target, c_stride * 4);
                _tile_loadd(1, target + 16, c_stride * 4);
                _tile_loadd(2, target + 16 * c_stride, c_stride * 4);
                _tile_loadd(3, target + 16 * c_stride + 16, c_stride * 4);
            } else {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
            }
            for (size_t word = 0; word < words; word += 16) {
                _tile_loadd(4, a + row * a_stride + word, a_stride * 4);
                _tile_loadd(5, a + (row + 16) * a_stride + word, a_stride * 4);
                _tile_loadd(6, b + word * b_stride + column, b_stride * 4);
                _tile_loadd(7, b + word * b_stride + column + 16, b_stride * 4);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, target, c_stride * 4);
            _tile_stored(1, target + 16, c_stride * 4);
            _tile_stored(2, target + 16 * c_stride, c_stride * 4);
            _tile_stored(3, target + 16 * c_stride + 16, c_stride * 4);
        }
}
