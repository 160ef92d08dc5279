// A radix sort by digits of 8 bits, least significant first, each pass of it stable: it moves
// integers only, and costs the same whatever the indices are.
#include "index_order.h"

#include "launch.h"

namespace tg::cuda {
namespace {

constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
static_assert(kDigits == kThreads, "a thread for each digit");
constexpr int kTile = 8 * kThreads;  // positions that a block sorts by one digit
constexpr int kWarps = kThreads / 32;

// Rows out of range get the number `none`, behind all others.
__global__ void __launch_bounds__(kThreads)
    make_keys(Keys keys, Indices indices, uint32_t none, Check check) {
  for (int64_t i = first_item(); i < indices.count; i += item_stride()) {
    const int64_t index = indices.at(i, check);
    keys.row[i] = index < 0 ? none : static_cast<uint32_t>(index);
    keys.position[i] = static_cast<uint32_t>(i);
  }
}

__device__ __forceinline__ uint32_t digit_of(uint32_t row, int shift) {
  return row >> shift & (kDigits - 1);
}

// counts[d][tile]: how many rows of the tile have digit d.
__global__ void __launch_bounds__(kThreads)
    count_digits(const uint32_t* rows, int64_t n, int shift, uint32_t* counts) {
  __shared__ uint32_t count[kDigits];
  count[threadIdx.x] = 0;
  __syncthreads();
  const int64_t begin = int64_t{blockIdx.x} * kTile;
  for (int64_t i = begin + threadIdx.x; i < begin + kTile && i < n; i += kThreads)
    atomicAdd(&count[digit_of(rows[i], shift)], 1u);
  __syncthreads();
  counts[int64_t{threadIdx.x} * gridDim.x + blockIdx.x] = count[threadIdx.x];
}

// Within a warp: the sum of the values of the lanes up to this one.
__device__ __forceinline__ uint32_t sum_up_to(uint32_t value) {
  const int lane = threadIdx.x % 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    const uint32_t other = __shfl_up_sync(~0u, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

// The sum of the values of the block's threads before this one.
__device__ uint32_t sum_before(uint32_t value) {
  __shared__ uint32_t of_warp[kWarps];
  const uint32_t sum = sum_up_to(value);
  if (threadIdx.x % 32 == 31) of_warp[threadIdx.x / 32] = sum;
  __syncthreads();
  uint32_t before = sum - value;
  for (unsigned w = 0; w < threadIdx.x / 32; ++w) before += of_warp[w];
  return before;
}

// A warp for each digit d: replaces counts[d][…] by the sums of those before each, and sets
// totals[d].
__global__ void __launch_bounds__(kThreads)
    sum_counts(uint32_t* counts, int64_t tiles, uint32_t* totals) {
  const int digit = static_cast<int>(first_item() / 32), lane = threadIdx.x % 32;
  uint32_t* const own = counts + digit * tiles;
  uint32_t before = 0;
  for (int64_t first = 0; first < tiles; first += 32) {
    const int64_t i = first + lane;
    const uint32_t count = i < tiles ? own[i] : 0, sum = sum_up_to(count);
    if (i < tiles) own[i] = before + sum - count;
    before += __shfl_sync(~0u, sum, 31);
  }
  if (lane == 0) totals[digit] = before;
}

// Moves each key behind those with a smaller digit, and behind those with the same digit that came
// before it.
__global__ void __launch_bounds__(kThreads)
    move_keys(Keys from, Keys to, int64_t n, int shift, const uint32_t* counts,
              const uint32_t* totals) {
  __shared__ uint32_t place[kWarps][kDigits];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // The next free place of the digit that has this thread's number.
  uint32_t next =
      sum_before(totals[threadIdx.x]) + counts[int64_t{threadIdx.x} * gridDim.x + blockIdx.x];
  const int64_t begin = int64_t{blockIdx.x} * kTile;
  for (int64_t part = begin; part < begin + kTile && part < n; part += kThreads) {
    const int64_t i = part + threadIdx.x;
    const bool active = i < n;
    const uint32_t row = active ? from.row[i] : 0, digit = digit_of(row, shift);
    unsigned same = __ballot_sync(~0u, active);  // lanes with the same digit
    for (int bit = 0; bit < kDigitBits; ++bit) {
      const bool set = digit >> bit & 1;
      const unsigned votes = __ballot_sync(~0u, set);
      same &= set ? votes : ~votes;
    }
    const int rank = __popc(same & ((1u << lane) - 1));
    for (int w = 0; w < kWarps; ++w) place[w][threadIdx.x] = 0;
    __syncthreads();
    if (active && rank == 0) place[warp][digit] = static_cast<uint32_t>(__popc(same));
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) {
      const uint32_t count = place[w][threadIdx.x];
      place[w][threadIdx.x] = next;
      next += count;
    }
    __syncthreads();
    if (active) {
      const uint32_t at = place[warp][digit] + static_cast<uint32_t>(rank);
      to.row[at] = row;
      to.position[at] = from.position[i];
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads)
    mark_rows(const uint32_t* rows, int64_t n, uint32_t none, Rows marks) {
  for (int64_t i = first_item(); i < n; i += item_stride()) {
    const uint32_t row = rows[i];
    if (row == none) continue;
    if (i == 0 || rows[i - 1] != row) marks.first[row] = static_cast<uint32_t>(i);
    if (i == n - 1 || rows[i + 1] != row) marks.past[row] = static_cast<uint32_t>(i + 1);
  }
}

// The order's parts within its memory.
struct Places {
  size_t keys[4], counts, first, past, bytes;

  explicit Places(const Indices& indices) {
    Parts parts;
    for (size_t& place : keys) place = parts.add(indices.count, sizeof(uint32_t));
    counts = parts.add((tiles_of(indices) + 1) * kDigits, sizeof(uint32_t));
    first = parts.add(indices.size, sizeof(uint32_t));
    past = parts.add(indices.size, sizeof(uint32_t));
    bytes = parts.bytes;
  }
  static int64_t tiles_of(const Indices& indices) { return (indices.count + kTile - 1) / kTile; }
};

}  // namespace

size_t order_bytes(const Indices& indices) { return Places(indices).bytes; }

Status sort_indices(ExecContext* ctx, const Indices& indices, void* memory, Order* order) {
  Error* const error = ctx->error;
  const Places places(indices);
  const auto at = [&](size_t place) {
    return reinterpret_cast<uint32_t*>(static_cast<char*>(memory) + place);
  };
  Keys keys{at(places.keys[0]), at(places.keys[1])}, other{at(places.keys[2]), at(places.keys[3])};
  uint32_t* const counts = at(places.counts);
  const Rows rows{at(places.first), at(places.past)};
  const int64_t n = indices.count, tiles = Places::tiles_of(indices);
  const uint32_t none =
      static_cast<uint32_t>(indices.size < int64_t{1} << 31 ? indices.size : int64_t{1} << 31);
  TG_CUDA(ctx->trace.kernel, cudaMemsetAsync(rows.first, 0, static_cast<size_t>(indices.size) * 4,
                                             ctx->device->stream));
  TG_CUDA(ctx->trace.kernel, cudaMemsetAsync(rows.past, 0, static_cast<size_t>(indices.size) * 4,
                                             ctx->device->stream));
  if (n > 0) {
    TG_TRY(launch(ctx, make_keys, grid_for(ctx, n), keys, indices, none, Check(ctx)));
    const Grid tiled{dim3(static_cast<unsigned>(tiles)), dim3(kThreads)};
    uint32_t* const totals = counts + tiles * kDigits;
    for (int shift = 0; shift < 32 && none >> shift > 0; shift += kDigitBits) {
      TG_TRY(launch(ctx, count_digits, tiled, keys.row, n, shift, counts));
      TG_TRY(launch(ctx, sum_counts, Grid{dim3(kDigits / kWarps), dim3(kThreads)}, counts, tiles,
                    totals));
      TG_TRY(launch(ctx, move_keys, tiled, keys, other, n, shift, counts, totals));
      const Keys sorted = other;
      other = keys;
      keys = sorted;
    }
    TG_TRY(launch(ctx, mark_rows, grid_for(ctx, n), keys.row, n, none, rows));
  }
  *order = {keys, none, rows};
  return Status::ok;
}

}  // namespace tg::cuda
