// Matrix products: c [m, n] = alpha a b (+ c), in fp32 or of bfloat16 pairs.
//
// An entry is one fixed expression of its row of a and its column of b, whatever else the call holds. Its k products are cut,
// in order, into spans of SUM_SPAN and these into blocks of SUM_BLOCK. A block is a chain of fused multiply-adds that begins at
// zero; the blocks of a span are added to the first one in ascending order; the total t of the first span is stored as
// alpha t, or, where the product is added, as alpha t + c in one fused operation, as are those of further spans always.
// Rows, columns, tiles, packing and lanes reach none of it. Twin: reference_product.
//
// With OPERAND_BF16 both operands are rounded to bfloat16, and the chain takes them in pairs, the second of each pair first;
// subnormal numbers are zero, operands, sums and results alike. That is what the dot-product instruction does; sets without it
// do the same with operands widened to fp32, at fp32's speed. An odd sum ends with a product of zeros.
//
// A tile of sums lies in registers: rows of a, entry by entry broadcast, against vectors of columns of b. Its left operand is
// copied, SUM_BLOCK entries a row, rows LEFT_STRIDE apart (powers of two would share cache lines' places); the right one is a
// strip of panels [SUM_BLOCK, 16] in the nearest cache, copied, transposed or widened on the way, or read as it is stored.
//
// A weight W [outputs, inputs] in panels [ceil(outputs / 16)][inputs][16], rows behind the last zero, serves both directions:
// for x W^T its panels are right operands; for dy W they are left ones of the transposed product W^T dy^T, whose tiles are
// transposed as they are stored.

enum { SUM_BLOCK = 256, SUM_SPAN = 16 * SUM_BLOCK, LEFT_STRIDE = SUM_BLOCK + 16, PANEL_STRIDE = SUM_BLOCK * 16 };
#if KERNEL_HAS_MASKS
enum { TILE_ROWS = 12, TILE_VECTORS = 2, WIDE_VECTORS = 8 };  // 24 of 32 registers are sums
#else
enum { TILE_ROWS = 6, TILE_VECTORS = 1, WIDE_VECTORS = 4 };  // a vector is two registers here: 12 of 16
#endif
// What one pass over the left operand works on; no bit depends on them.
enum { PASS_ROWS = 384, PASS_COLUMNS = 2048 };

// Products of bfloat16 treat subnormal numbers as zero. Returns what `end_products` restores.
INLINE uint32_t start_products(const operand_kind kind) {
  const uint32_t rounding = _mm_getcsr();
  if (kind == OPERAND_BF16) _mm_setcsr(rounding | 0x8040);
  return rounding;
}
INLINE void end_products(uint32_t rounding) { _mm_setcsr(rounding); }

#if KERNEL_REFERENCES
static float reference_bf16(float x) {
  if (fabsf(x) < 0x1p-126f) return copysignf(0, x);
  const uint32_t bits = (uint32_t)reference_float_to_bf16(x) << 16;
  memcpy(&x, &bits, sizeof x);
  return x;
}

void reference_product(operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step,
                       long b_column, float *c, long ldc, long m, long n, long k, float alpha, int adds) {
  const uint32_t rounding = start_products(kind);
  for (long r = 0; r < m; r++)
    for (long j = 0; j < n; j++) {
      float *entry = c + r * ldc + j, total = 0;
      long first = 0;
      do {
        float sum = 0;
        const long end = k < first + SUM_BLOCK ? k : first + SUM_BLOCK;
        for (long p = first; p < (kind == OPERAND_BF16 ? first + (end - first + 1) / 2 * 2 : end); p++) {
          const long q = kind == OPERAND_BF16 ? p ^ 1 : p;
          float left = q < end ? a[r * a_row + q * a_step] : 0, right = q < end ? b[q * b_step + j * b_column] : 0;
          if (kind == OPERAND_BF16) left = reference_bf16(left), right = reference_bf16(right);
          sum = fmaf(left, right, sum);
        }
        total = first % SUM_SPAN == 0 ? sum : total + sum;
        first += SUM_BLOCK;
        if (first % SUM_SPAN == 0 || first >= k)
          *entry = adds || first > SUM_SPAN ? fmaf(total, alpha, *entry) : total * alpha;
      } while (first < k);
    }
  end_products(rounding);
}
#endif

// Where a tile's sums go. Between blocks they wait in `totals`, tile by tile.
typedef struct {
  float *c;
  long ldc;
  float alpha;
  int adds;
  float *totals;
  int is_first, is_last;
} product_target;

INLINE void store_total(const product_target *target, f32x16 total, float *c, long n) {
  store(c, target->adds ? fused(total, target->alpha, load(c, n)) : total * target->alpha, n);
}

// Vector v of all rows as 16 columns of `rows` entries.
INLINE void transpose_tile(const int rows, const int vectors, f32x16 sums[TILE_ROWS][WIDE_VECTORS], int v,
                           f32x16 columns[16]) {
#if KERNEL_HAS_MASKS
  for (int r = 0; r < 16; r++) columns[r] = r < rows ? sums[r][v] : (f32x16)0.0f;
  transpose16(columns);
#else
  // At most 8 rows: both halves of the lanes at once.
  f32x16 block[16];
  for (int r = 0; r < 8; r++) block[r] = r < rows ? sums[r][v] : (f32x16)0.0f;
  transpose8(block);
  for (int j = 0; j < 8; j++) {
    columns[j].lo = block[j].lo;
    columns[j + 8].lo = block[j].hi;
  }
#endif
}

// What the innermost loop reads: fp32 entries, or words of two bfloat16.
typedef enum { STEP_ENTRY, STEP_PAIR } product_step;
// A step of `kind` in this set.
INLINE product_step step_of(const operand_kind kind) {
  return KERNEL_HAS_BF16 && kind == OPERAND_BF16 ? STEP_PAIR : STEP_ENTRY;
}
INLINE long steps_of(const operand_kind kind, long depth) {
  const long even = kind == OPERAND_BF16 ? (depth + 1) / 2 * 2 : depth;
  return step_of(kind) == STEP_PAIR ? even / 2 : even;
}

INLINE f32x16 add_products(const product_step step, f32x16 a, f32x16 b, f32x16 sum) {
#if KERNEL_HAS_BF16
  if (step == STEP_PAIR) return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#endif
  return fused(a, b, sum);
}

// `step`, `rows`, `vectors`, `is_panel` and `fetches` are constants where this is inlined. `group`: from the steps of 16 entries of a
// panel, or of 16 steps of a copy, to the next. `fetches`: the right operand is asked for `ahead` floats in front, as
// sums of few rows would wait for memory. `lanes`: columns that exist.
INLINE void product_tile(const product_step step, const int rows, const int vectors, const int is_panel,
                         const int fetches, const float *left, long group, const float *right, long right_stride,
                         long ahead, long steps,
                         const product_target *target, float *totals, float *c, long lanes) {
  const long chunk = is_panel && step == STEP_PAIR ? 8 : 16, row = is_panel ? chunk : LEFT_STRIDE;
  f32x16 sums[TILE_ROWS][WIDE_VECTORS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) sums[r][v] = 0.0f;
  if (target->adds && target->is_last && !is_panel)
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < vectors; v++) __builtin_prefetch(c + r * target->ldc + 16 * v);
  for (long first = 0; first < steps; first += chunk) {
    const long count = steps - first < chunk ? steps - first : chunk;
    if (is_panel) {  // far apart: the processor does not see them coming
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) __builtin_prefetch(left + group + r * row);
    }
#pragma clang loop unroll_count(4)
    for (long q = 0; q < count; q++) {
      f32x16 columns[WIDE_VECTORS];
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) {
        columns[v] = load(right + v * right_stride + q * 16, 16);
        if (fetches) __builtin_prefetch(right + v * right_stride + q * 16 + ahead, 0, 2);  // into the second cache
      }
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        const f32x16 entry = left[r * row + q];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) sums[r][v] = add_products(step, entry, columns[v], sums[r][v]);
      }
    }
    left += group;
    right += chunk * 16;
  }
  if (!target->is_first) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sums[r][v] = load(totals + (r * vectors + v) * 16, 16) + sums[r][v];
  }
  if (!target->is_last) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) store(totals + (r * vectors + v) * 16, sums[r][v], 16);
  } else if (is_panel) {
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      f32x16 block[16];
      transpose_tile(rows, vectors, sums, v, block);
      for (int j = 0; j < 16; j++)
        if (16 * v + j < lanes) store_total(target, block[j], c + (16 * v + j) * target->ldc, rows);
    }
  } else if (lanes == 16 * vectors) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) store_total(target, sums[r][v], c + r * target->ldc + 16 * v, 16);
  } else {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) {
        const long n = lanes - 16 * v < 16 ? lanes - 16 * v : 16;
        if (n > 0) store_total(target, sums[r][v], c + r * target->ldc + 16 * v, n);
      }
  }
}

// A strip of columns against all rows of the left operand, in tiles of nearly equal height. `first_column`: of c, which is
// transposed if the left operand is a panel.
INLINE void product_strip(const product_step step, const int vectors, const int is_panel, const float *left, long group,
                          long m, const float *right, long right_stride, long ahead, long steps,
                          const product_target *target, long first_column, long lanes) {
  const long tiles = (m + TILE_ROWS - 1) / TILE_ROWS;
  const long row = is_panel ? (step == STEP_PAIR ? 8 : 16) : LEFT_STRIDE;
  float *totals = target->totals + first_column * m;
  for (long tile = 0, first = 0; tile < tiles; tile++) {
    const long next = m * (tile + 1) / tiles, rows = next - first;
    const float *tile_left = left + first * row;
    float *c = target->c + (is_panel ? first_column * target->ldc + first : first * target->ldc + first_column);
#define TILE_OF(ROWS) \
  case ROWS: \
    if (step == STEP_ENTRY && !is_panel && vectors == TILE_VECTORS && tile == 0 && ahead) \
      product_tile(step, ROWS, vectors, is_panel, 1, tile_left, group, right, right_stride, ahead, steps, target, \
                   totals + first * 16 * vectors, c, lanes); \
    else \
      product_tile(step, ROWS, vectors, is_panel, 0, tile_left, group, right, right_stride, 0, steps, target, \
                   totals + first * 16 * vectors, c, lanes); \
    break;
    switch (rows) {
      TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4) TILE_OF(5) TILE_OF(6)
#if KERNEL_HAS_MASKS
      TILE_OF(7) TILE_OF(8) TILE_OF(9) TILE_OF(10) TILE_OF(11) TILE_OF(12)
#endif
    }
#undef TILE_OF
    first = next;
  }
}

// The strip of this form: `vectors` 1, 2, 4 or 8, as many as the set has.
static void product_strip_of(product_step step, int vectors, int is_panel, const float *left, long group, long m,
                             const float *right, long right_stride, long ahead, long steps,
                             const product_target *target, long first_column, long lanes) {
#define STRIP_OF(STEP, VECTORS, IS_PANEL) \
  if (step == STEP && vectors == VECTORS && is_panel == IS_PANEL) \
    return product_strip(STEP, VECTORS, IS_PANEL, left, group, m, right, right_stride, ahead, steps, target, first_column, \
                         lanes);
#define STRIPS_OF(STEP) STRIP_OF(STEP, 1, 0) STRIP_OF(STEP, 2, 0) STRIP_OF(STEP, 4, 0) STRIP_OF(STEP, 1, 1)
  STRIPS_OF(STEP_ENTRY)
#if KERNEL_HAS_MASKS
  STRIP_OF(STEP_ENTRY, 8, 0) STRIP_OF(STEP_ENTRY, 2, 1)
#endif
#if KERNEL_HAS_BF16
  STRIPS_OF(STEP_PAIR) STRIP_OF(STEP_PAIR, 8, 0) STRIP_OF(STEP_PAIR, 2, 1)
#endif
#undef STRIP_OF
#undef STRIPS_OF
}

// ---- operands

// bfloat16 of 16 floats, to nearest even; subnormal numbers become zero.
INLINE u16x16 operand_bf16(f32x16 x) {
#if KERNEL_HAS_BF16
  return (u16x16)_mm512_cvtneps_pbh((__m512)x);
#else
  const u32x16 sign = (u32x16)x & 0x80000000u;
  return round_to_bf16(absolute(x) < 0x1p-126f ? (f32x16)sign : x);
#endif
}

INLINE f32x16 swap_neighbours(f32x16 v) {
  return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}

// 16 entries of an operand in the order and form of the steps they are: 16 floats, or 8 words. `at`: entry, a multiple of 16.
INLINE void store_entries(const operand_kind kind, float *steps, long at, f32x16 entries) {
  if (kind == OPERAND_FP32) {
    store(steps + at, entries, 16);
  } else if (step_of(kind) == STEP_PAIR) {
    const u16x16 halves = operand_bf16(entries);
    memcpy(steps + at / 2, &halves, sizeof halves);
  } else {
    store(steps + at, swap_neighbours(widen_bf16(operand_bf16(entries))), 16);
  }
}

// Two rows of a panel, entries 2p and 2p + 1 of 16 columns, as step 2p and 2p + 1 or as words of step p.
INLINE void store_pair(float *panel, long p, u16x16 first, u16x16 second) {
#if KERNEL_HAS_BF16
  const u32x16 words = __builtin_convertvector(first, u32x16) | __builtin_convertvector(second, u32x16) << 16;
  memcpy(panel + p * 16, &words, sizeof words);
#else
  store(panel + 2 * p * 16, widen_bf16(second), 16);
  store(panel + (2 * p + 1) * 16, widen_bf16(first), 16);
#endif
}

// Left operand: `rows` rows of a, `depth` entries each, behind them zeros up to a multiple of 16.
INLINE void copy_left(const operand_kind kind, const float *a, long a_row, long a_step, float *left, long rows,
                      long depth) {
  if (a_step == 1) {
    for (long r = 0; r < rows; r++)
      FOR_VECTORS(depth, store_entries(kind, left + r * LEFT_STRIDE, i, load(a + r * a_row + i, n)));
    return;
  }
  for (long r = 0; r < rows; r += 16)
    for (long q = 0; q < depth; q += 16) {
      const long n = rows - r < 16 ? rows - r : 16, entries = depth - q < 16 ? depth - q : 16;
      f32x16 block[16];
      for (int i = 0; i < 16; i++) block[i] = i < entries ? load(a + r * a_row + (q + i) * a_step, n) : (f32x16)0.0f;
      transpose16(block);
      for (int i = 0; i < n; i++) store_entries(kind, left + (r + i) * LEFT_STRIDE, q, block[i]);
    }
}

// One panel of the right operand: `depth` entries of `columns` columns, zeros behind both.
INLINE void copy_panel(const operand_kind kind, const float *b, long b_step, long b_column, float *panel, long columns,
                       long depth) {
  if (b_column == 1) {
    if (kind == OPERAND_FP32) {
      for (long q = 0; q < depth; q++) store(panel + q * 16, load(b + q * b_step, columns), 16);
      return;
    }
    for (long q = 0; q < depth; q += 2)
      store_pair(panel, q / 2, operand_bf16(load(b + q * b_step, columns)),
                 q + 1 < depth ? operand_bf16(load(b + (q + 1) * b_step, columns)) : (u16x16)(uint16_t)0);
    return;
  }
  for (long q = 0; q < depth; q += 16) {
    const long entries = depth - q < 16 ? depth - q : 16;
    f32x16 block[16];
    for (int j = 0; j < 16; j++) block[j] = j < columns ? load(b + j * b_column + q, entries) : (f32x16)0.0f;
    transpose16(block);
    if (kind == OPERAND_FP32) {
      for (int i = 0; i < entries; i++) store(panel + (q + i) * 16, block[i], 16);
    } else {
      for (int i = 0; i < entries; i += 2)
        store_pair(panel, (q + i) / 2, operand_bf16(block[i]), operand_bf16(block[i + 1]));
    }
  }
}

// ---- products

// Room of this thread for one pass: the left operand of a block, totals, and `widened` more floats.
typedef struct {
  float *left, *totals, *widened;
} product_room;

INLINE product_room room_for(long rows, long columns, long k, long widened) {
  const long totals = k > SUM_BLOCK ? rows * columns : 0;
  product_room room;
  room.left = kernels_room((size_t)(PASS_ROWS * LEFT_STRIDE + totals + widened));
  room.totals = room.left + PASS_ROWS * LEFT_STRIDE;
  room.widened = room.totals + totals;
  return room;
}

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long whole_vectors(long count) { return (count + 15) / 16 * 16; }

// Equal parts of `count`, at most `most` each, whole vectors but for the last.
INLINE long part_size(long count, long most) {
  const long parts = (count + most - 1) / most;
  return parts ? whole_vectors((count + parts - 1) / parts) : 0;
}
#define FOR_PARTS(count, most, first, size) \
  for (long first = 0, part_##first = part_size(count, most), size; \
       first < (count) && (size = least((count) - first, part_##first), 1); first += part_##first)

// One span of a[r * a_row + q * a_step], b[q * b_step + j * b_column]; one distance of each operand is 1. No overlap with c.
INLINE void product_of(const operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step,
                       long b_column, float *c, long ldc, long m, long n, long k, float alpha, int adds) {
  float panels[TILE_VECTORS * PANEL_STRIDE] __attribute__((aligned(64)));
  const product_room room = room_for(least(m, PASS_ROWS), least(whole_vectors(n), PASS_COLUMNS), k, 0);
  FOR_PARTS(n, PASS_COLUMNS, column, columns) FOR_PARTS(m, PASS_ROWS, row, rows) {
    product_target target = {c + row * ldc + column, ldc, alpha, adds, room.totals, 0, 0};
    long q = 0;
    do {  // once where k is 0: the sum of nothing
      const long depth = least(k - q, SUM_BLOCK);
      target.is_first = q == 0;
      target.is_last = q + depth == k;
      copy_left(kind, a + row * a_row + q * a_step, a_row, a_step, room.left, rows, depth);
      for (long j = 0; j < columns; j += 16 * TILE_VECTORS) {
        const long lanes = least(columns - j, 16 * TILE_VECTORS);
        for (long v = 0; 16 * v < lanes; v++)
          copy_panel(kind, b + q * b_step + (column + j + 16 * v) * b_column, b_step, b_column,
                     panels + v * PANEL_STRIDE, least(lanes - 16 * v, 16), depth);
        product_strip_of(step_of(kind), lanes > 16 ? TILE_VECTORS : 1, 0, room.left, 16, rows, panels, PANEL_STRIDE, 0,
                         steps_of(kind, depth), &target, j, lanes);
      }
      q += depth;
    } while (q < k);
  }
}

KERNEL(void, product)(operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step,
                      long b_column, float *c, long ldc, long m, long n, long k, float alpha, int adds) {
  const uint32_t rounding = start_products(kind);
  long first = 0;
  do {
    const long count = least(k - first, SUM_SPAN);
    if (kind == OPERAND_FP32)
      product_of(OPERAND_FP32, a, a_row, a_step, b, b_step, b_column, c, ldc, m, n, count, alpha, adds || first);
    else
      product_of(OPERAND_BF16, a, a_row, a_step, b, b_step, b_column, c, ldc, m, n, count, alpha, adds || first);
    a += count * a_step;
    b += count * b_step;
    first += count;
  } while (first < k);
  end_products(rounding);
}

// w [outputs, inputs], w[o * w_output + i * w_input], to panels.
KERNEL(void, pack_weight)(weight_format format, const float *w, long w_output, long w_input, void *panels,
                          long outputs, long inputs) {
  for (long o = 0; o < outputs; o += 16)
    for (long i = 0; i < inputs; i += SUM_BLOCK) {
      float panel[PANEL_STRIDE];
      const long depth = least(inputs - i, SUM_BLOCK), at = o * inputs + i * 16;
      copy_panel(OPERAND_FP32, w + o * w_output + i * w_input, w_input, w_output, panel, least(outputs - o, 16), depth);
      if (format == WEIGHT_FP32) memcpy((float *)panels + at, panel, (size_t)depth * 16 * sizeof(float));
      else
        FOR_VECTORS(depth * 16, const f32x16 v = load(panel + i, n);
                    store_halves((uint16_t *)panels + at + i,
                                 format == WEIGHT_FP16 ? narrow_to_halves(v) : round_to_bf16(v), n));
    }
}

// Vectors of a strip for so few rows that sums would otherwise wait for each other.
INLINE int few_row_vectors(long m) {
#if KERNEL_HAS_MASKS
  return m <= 2 ? 8 : m <= 6 ? 4 : 2;
#else
  return m == 1 ? 4 : m <= 3 ? 2 : 1;
#endif
}

// `depth` entries of one 16-bit panel as right operand.
INLINE void widen_panel(const weight_format format, const uint16_t *panel, float *steps, long depth) {
  if (format == WEIGHT_FP16) {
    for (long q = 0; q < depth; q++) store(steps + q * 16, widen_halves(load_halves(panel + q * 16, 16)), 16);
    return;
  }
  for (long q = 0; q < depth; q += 2)
    store_pair(steps, q / 2, load_halves(panel + q * 16, 16),
               q + 1 < depth ? load_halves(panel + (q + 1) * 16, 16) : (u16x16)(uint16_t)0);
}

// One strip of y: `width` outputs from `output` on, and the block of inputs that begins at `input`. `ahead` as in product_tile.
INLINE void weight_strip(const weight_format format, const void *weight, long inputs, long output, long width, long input,
                         long depth, long ahead, const float *left, long rows, const product_target *target,
                         long first_column, long lanes) {
  const operand_kind kind = format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32;
  float widened[TILE_VECTORS * PANEL_STRIDE] __attribute__((aligned(64)));
  const long at = output * inputs + input * 16;
  const float *right = (const float *)weight + at;
  if (format != WEIGHT_FP32) {
    for (long v = 0; 16 * v < width; v++)
      widen_panel(format, (const uint16_t *)weight + at + v * inputs * 16, widened + v * PANEL_STRIDE, depth);
    right = widened;
  }
  product_strip_of(step_of(kind), (int)(width / 16), 0, left, 16, rows, right,
                   format == WEIGHT_FP32 ? inputs * 16 : PANEL_STRIDE, format == WEIGHT_FP32 ? ahead : 0,
                   steps_of(kind, depth), target, first_column, lanes);
}

// The span of inputs that begins at `first`.
INLINE void weight_product_of(const weight_format format, const float *x, long ldx, const void *weight, float *y,
                              long ldy, long m, long outputs, long inputs, long first) {
  const operand_kind kind = format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32;
  const long end = first + least(inputs - first, SUM_SPAN);
  const product_room room = room_for(least(m, PASS_ROWS), least(whole_vectors(outputs), PASS_COLUMNS), end - first, 0);
  // Panels that are read as they lie may be many.
  const long most = 16 * (format == WEIGHT_FP32 ? few_row_vectors(m) : TILE_VECTORS);
  // Few rows wait for memory: all of their blocks find room, so that a panel is read from end to end. Many wait for the left
  // operand, of which one block stays in the cache.
  const int is_few = m <= PASS_ROWS * SUM_BLOCK / SUM_SPAN;
  FOR_PARTS(outputs, PASS_COLUMNS, column, columns) FOR_PARTS(m, PASS_ROWS, row, rows) {
    product_target target = {y + row * ldy + column, ldy, 1, first > 0, room.totals, 0, 0};
    const long turn = is_few ? end - first : SUM_BLOCK;
    for (long q = first; q < end; q += turn) {
      const long stop = least(q + turn, end);
      for (long p = q; p < stop; p += SUM_BLOCK)
        copy_left(kind, x + row * ldx + p, ldx, 1, room.left + (p - q) / SUM_BLOCK * rows * LEFT_STRIDE, rows,
                  least(stop - p, SUM_BLOCK));
      for (long j = 0, width; j < columns; j += width) {
        width = most;
        while (width > 16 && width > columns - j + 15) width /= 2;
        for (long p = q; p < stop; p += SUM_BLOCK) {
          const long depth = least(stop - p, SUM_BLOCK);
          target.is_first = p == first;
          target.is_last = p + depth == end;
          weight_strip(format, weight, inputs, column + j, width, p, depth, is_few ? PANEL_STRIDE : width * inputs,
                       room.left + (p - q) / SUM_BLOCK * rows * LEFT_STRIDE, rows, &target, j, least(columns - j, width));
        }
      }
    }
  }
}

// y [m, outputs] = x [m, inputs] W^T.
KERNEL(void, weight_product)(weight_format format, const float *x, long ldx, const void *weight, float *y, long ldy,
                             long m, long outputs, long inputs) {
  const uint32_t rounding = start_products(format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32);
  for (long first = 0; first < inputs; first += SUM_SPAN) {
    switch (format) {
      case WEIGHT_FP32: weight_product_of(WEIGHT_FP32, x, ldx, weight, y, ldy, m, outputs, inputs, first); break;
      case WEIGHT_FP16: weight_product_of(WEIGHT_FP16, x, ldx, weight, y, ldy, m, outputs, inputs, first); break;
      case WEIGHT_BF16: weight_product_of(WEIGHT_BF16, x, ldx, weight, y, ldy, m, outputs, inputs, first); break;
    }
  }
  end_products(rounding);
}

// The span of outputs that begins at `first`.
INLINE void weight_product_back_of(const weight_format format, const float *dy, long ldy, const void *weight, float *dx,
                                   long ldx, long m, long outputs, long inputs, long first) {
  const operand_kind kind = format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32;
  const int widens = format == WEIGHT_FP16 || (format == WEIGHT_BF16 && step_of(kind) == STEP_ENTRY);
  float strip[TILE_VECTORS * PANEL_STRIDE] __attribute__((aligned(64)));
  const long most_columns = least(inputs, PASS_COLUMNS);
  const long end = first + least(outputs - first, SUM_SPAN);
  const product_room room =
      room_for(least(whole_vectors(m), PASS_ROWS), most_columns, end - first, widens ? SUM_BLOCK * whole_vectors(most_columns) : 0);
  FOR_PARTS(inputs, PASS_COLUMNS, column, columns) FOR_PARTS(m, PASS_ROWS, row, rows) {
    product_target target = {dx + row * ldx + column, ldx, 1, first > 0, room.totals, 0, 0};
    for (long q = first; q < end; q += SUM_BLOCK) {
      const long depth = least(end - q, SUM_BLOCK), at = q * inputs + column * 16;
      target.is_first = q == first;
      target.is_last = q + depth == end;
      const float *left = (const float *)weight + at;
      long group = inputs * 16;
      if (widens) {
        left = room.widened;
        group = columns * 16;
        for (long g = 0; 16 * g < depth; g++)
          for (long i = 0; i < columns; i++) {
            const u16x16 halves = load_halves((const uint16_t *)weight + at + (g * inputs + i) * 16, 16);
            float *target_row = room.widened + g * group + i * 16;
            if (format == WEIGHT_FP16) store(target_row, widen_halves(halves), 16);
            else store(target_row, swap_neighbours(widen_bf16(halves)), 16);
          }
      } else if (format == WEIGHT_BF16) {
        left = (const float *)((const uint16_t *)weight + at);
        group = inputs * 8;
      }
      for (long r = 0; r < rows; r += 16 * TILE_VECTORS) {
        const long lanes = least(rows - r, 16 * TILE_VECTORS);
        for (long v = 0; 16 * v < lanes; v++)
          copy_panel(kind, dy + (row + r + 16 * v) * ldy + q, 1, ldy, strip + v * PANEL_STRIDE,
                     least(lanes - 16 * v, 16), depth);
        product_strip_of(step_of(kind), lanes > 16 ? TILE_VECTORS : 1, 1, left, group, columns, strip, PANEL_STRIDE, 0,
                         steps_of(kind, depth), &target, r, lanes);
      }
    }
  }
}

// dx [m, inputs] = dy [m, outputs] W.
KERNEL(void, weight_product_back)(weight_format format, const float *dy, long ldy, const void *weight, float *dx,
                                  long ldx, long m, long outputs, long inputs) {
  const uint32_t rounding = start_products(format == WEIGHT_BF16 ? OPERAND_BF16 : OPERAND_FP32);
  for (long first = 0; first < outputs; first += SUM_SPAN) {
    switch (format) {
      case WEIGHT_FP32: weight_product_back_of(WEIGHT_FP32, dy, ldy, weight, dx, ldx, m, outputs, inputs, first); break;
      case WEIGHT_FP16: weight_product_back_of(WEIGHT_FP16, dy, ldy, weight, dx, ldx, m, outputs, inputs, first); break;
      case WEIGHT_BF16: weight_product_back_of(WEIGHT_BF16, dy, ldy, weight, dx, ldx, m, outputs, inputs, first); break;
    }
  }
  end_products(rounding);
}
