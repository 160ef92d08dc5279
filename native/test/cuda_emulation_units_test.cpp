// Tests of the emulated device's matrix and copy units: products against plain ones, phases of
// barriers, and that whoever does not wait gets poison.
#include <cuda.h>
#include <cuda_runtime.h>

#include <math.h>
#include <string.h>

#include <vector>

#include "../cuda/emulation/ptx.h"
#include "cuda/emulation_check.h"

namespace {

using namespace tg::cuda;
using tg::emulation::options;
using tg::test::check;
using tg::test::dies;
using tg::test::launch;
using tg::test::Shared;

// Small whole numbers, so that all sums are exact: no two lines or columns of a matrix are equal.
float number(int i, int j) { return static_cast<float>((7 * i + 3 * j + i * j) % 11 - 5); }
uint16_t bf16(float x) { return static_cast<uint16_t>(__float_as_uint(x) >> 16); }

template <class T>
T* upload(const std::vector<T>& values) {
  T* d = nullptr;
  cudaMalloc(&d, values.size() * sizeof(T));
  cudaMemcpy(d, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice);
  return d;
}
template <class T>
std::vector<T> download(T* d, size_t n) {
  std::vector<T> values(n);
  cudaMemcpy(values.data(), d, n * sizeof(T), cudaMemcpyDeviceToHost);
  cudaFree(d);
  return values;
}

__device__ unsigned char* dynamic() {
  return static_cast<unsigned char*>(emulated_dynamic_shared());
}

// What C[m, n] = sum over k of A[m, k] B[k, n] must be, of number(m, k) and number(n, k).
bool is_product(const std::vector<float>& c, int m, int n, int k, float times = 1) {
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      float sum = 0;
      for (int l = 0; l < k; ++l) sum += number(i, l) * number(j, l);
      if (c[static_cast<size_t>(i * n + j)] != times * sum) return false;
    }
  return true;
}

// ---- cvt, ldmatrix, mma.sync, cp.async ----
void conversions() {
  const auto rounds = [](float x, uint32_t bits) {
    return round_tf32(x) == bits && round_tf32(-x) == (bits | 0x80000000u);
  };
  check(rounds(0.0f, 0) && rounds(1.5f, 0x3FC00000), "cvt.rna.tf32 of what tf32 has");
  check(rounds(1 + 0x1p-11f, 0x3F802000) && rounds(1 + 3 * 0x1p-11f, 0x3F804000), "away from zero");
  check(rounds(1 + 0x1p-11f - 0x1p-23f, 0x3F800000), "to nearest");
  check(rounds(2 - 0x1p-20f, 0x40000000), "into the exponent");
  check(rounds(INFINITY, 0x7F800000) && rounds(3.402823466e38f, 0x7F800000), "to infinity");
  check(isnan(__uint_as_float(round_tf32(NAN))), "NaN");
  check(rounds(0x1p-136f, 0x2000) && rounds(0x1p-137f, 0x2000) && rounds(0x1p-138f, 0),
        "denormals");
}

// C[16, 8] = A[16, 16] B[16, 8]; a: 16 lines of k; b: [8][16] as columns, or [16][8] transposed.
template <bool transposed>
__global__ void warp_product(const uint16_t* a, const uint16_t* b, float* c) {
  __shared__ __align__(16) uint16_t as[16 * 16], bs[16 * 16];
  const int lane = threadIdx.x;
  cp_async<16>(as + 8 * lane, a + 8 * lane, 16);
  cp_async<16>(bs + 8 * lane, b + 8 * (lane % 16), lane < 16 ? 16 : 0);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t af[4], bf[4];
  ldmatrix(af, as + lane % 16 * 16 + lane / 16 * 8);
  if (transposed)
    ldmatrix_transposed(bf, bs + lane % 16 * 8);
  else
    ldmatrix(bf, bs + lane % 8 * 16 + lane / 8 % 2 * 8);
  float d[4] = {};
  mma_bf16(d, af, bf[0], bf[1]);
  for (int i = 0; i < 4; ++i) c[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

__global__ void tf32_product(const float* a, const float* b, float* c) {  // A[16, 8] B[8, 8]
  const int lane = threadIdx.x, r = lane / 4, k = lane % 4;
  uint32_t af[4], bf[2];
  for (int i = 0; i < 4; ++i) af[i] = __float_as_uint(a[(r + i % 2 * 8) * 8 + k + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) bf[i] = __float_as_uint(b[r * 8 + k + 4 * i]);
  float d[4] = {};
  mma_tf32(d, af, bf[0], bf[1]);
  for (int i = 0; i < 4; ++i) c[(r + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = d[i];
}

// d + Σ terms: one product of `first` and 7 of `others`.
__global__ void cut_off(float d, float first, float others, float* sum) {
  uint32_t a[4] = {}, b[2] = {};
  const uint32_t one = bf16(1);
  const int k = 2 * (threadIdx.x % 4);
  if (threadIdx.x / 4 == 0)
    a[0] = bf16(k == 0 ? first : others) | uint32_t{bf16(others)} << 16, b[0] = one | one << 16;
  float c[4] = {d, 0, 0, 0};
  mma_bf16(c, a, b[0], b[1]);
  if (threadIdx.x == 0) *sum = c[0];
}

__global__ void reads_too_early(const uint16_t* a, float* out) {
  __shared__ __align__(16) float tile[4];
  cp_async<16>(tile, a, 16);
  cp_async_commit();
  out[0] = tile[0];
  cp_async_wait<0>();
  out[1] = tile[0];
}

void warp_units() {
  std::vector<uint16_t> a, columns, rows(128);
  std::vector<float> af, bf;
  for (int i = 0; i < 256; ++i) a.push_back(bf16(number(i / 16, i % 16)));
  for (int i = 0; i < 128; ++i) {
    columns.push_back(bf16(number(i / 16, i % 16)));
    rows[static_cast<size_t>(i % 16 * 8 + i / 16)] = columns.back();
    af.push_back(number(i / 8, i % 8));
  }
  for (int i = 0; i < 64; ++i) bf.push_back(number(i / 8, i % 8));
  uint16_t *da = upload(a), *dc = upload(columns), *dr = upload(rows);
  float *c[3], *daf = upload(af), *dbf = upload(bf);
  for (float*& p : c) p = upload(std::vector<float>(128));
  launch(warp_product<false>, dim3(1), dim3(32), da, dc, c[0]);
  launch(warp_product<true>, dim3(1), dim3(32), da, dr, c[1]);
  for (size_t i = 0; i < af.size(); ++i)  // the lowest 13 bits are not looked at
    af[i] = __uint_as_float(__float_as_uint(af[i]) | static_cast<unsigned>(i * 61 % 0x2000));
  cudaMemcpy(daf, af.data(), af.size() * sizeof(float), cudaMemcpyHostToDevice);
  launch(tf32_product, dim3(1), dim3(32), daf, dbf, c[2]);
  check(is_product(download(c[0], 128), 16, 8, 16), "cp.async, ldmatrix, mma.m16n8k16");
  check(is_product(download(c[1], 128), 16, 8, 16), "ldmatrix.trans");
  check(is_product(download(c[2], 128), 16, 8, 8), "mma.m16n8k8");
  const auto cut = [](float d, float first, float others) {
    float* sum = upload(std::vector<float>(1));
    launch(cut_off, dim3(1), dim3(32), d, first, others, sum);
    return download(sum, 1)[0];
  };
  check(cut(1, 0x1p-23f, 0) == 1 + 0x1p-23f, "a term that is the last bit of a sum");
  check(cut(1, 0x1.8p-24f, 0) == 1, "sums of tensor cores are cut off, not rounded");
  check(cut(-1, -0x1.8p-24f, 0) == -1, "towards 0");
  check(cut(1, 0x1p-24f, 0x1p-24f) == 1 + 4 * 0x1p-23f, "after they are complete");
  check(cut(1, 0, 0x1.8p-25f) == 1, "of terms only what lies near the largest counts");
  check(cut(INFINITY, 1, -1) == INFINITY && isnan(cut(NAN, 1, 1)), "what is not finite");
  float* out = upload(std::vector<float>(2));
  launch(reads_too_early, dim3(1), dim3(1), da, out);
  const std::vector<float> read = download(out, 2);
  check(read[0] != read[0] && read[1] == read[1], "cp.async has not come before the wait");
  for (void* p : {static_cast<void*>(da), static_cast<void*>(dc), static_cast<void*>(dr),
                  static_cast<void*>(daf), static_cast<void*>(dbf)})
    cudaFree(p);
}

// ---- mbarrier, named barriers ----
// A producer warp and a consumer warp pass 20 numbers through two places.
__global__ void ring(int* out) {
  __shared__ uint64_t full[2], empty[2];
  __shared__ int place[2];
  if (threadIdx.x == 0)
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], 32);
    }
  mbarrier_init_fence();
  __syncthreads();
  for (uint32_t i = 0; i < 20; ++i) {
    const uint32_t at = i % 2, parity = i / 2 % 2;
    if (threadIdx.x == 0) {
      mbarrier_wait(&empty[at], parity ^ 1);
      place[at] = static_cast<int>(100 + i);
      mbarrier_arrive(&full[at]);
    } else if (threadIdx.x >= 32) {
      mbarrier_wait(&full[at], parity);
      if (threadIdx.x == 40) out[i] = place[at];
      mbarrier_arrive(&empty[at]);
    }
  }
}
__global__ void waits_for_nobody() {
  __shared__ uint64_t barrier;
  mbarrier_init(&barrier, 1);
  mbarrier_wait(&barrier, 0);
}
__global__ void one_too_many() {
  __shared__ uint64_t barrier;
  if (threadIdx.x == 0) mbarrier_init(&barrier, 2);
  __syncthreads();
  mbarrier_arrive_expect(&barrier, threadIdx.x == 0 ? 64 : 0);
}
__global__ void not_initialized() {
  __shared__ uint64_t barrier;
  mbarrier_arrive(&barrier);
}
// Warp 0 hands a number to warp 1, which does not hold up warp 2.
__global__ void named(int* out) {
  __shared__ int value;
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0) value = 5;
    named_barrier_arrive(1, 64);
  } else if (threadIdx.x < 64) {
    named_barrier_sync(1, 64);
    out[threadIdx.x - 32] = value;
  }
}

void barriers() {
  for (options().seed = 0; options().seed < 6; ++options().seed) {
    int* d = upload(std::vector<int>(20));
    launch(ring, dim3(1), dim3(64), d);
    const std::vector<int> out = download(d, 20);
    bool right = true;
    for (int i = 0; i < 20; ++i) right &= out[static_cast<size_t>(i)] == 100 + i;
    check(right, "phases of mbarriers");
    d = upload(std::vector<int>(32));
    launch(named, dim3(1), dim3(96), d);
    check(download(d, 32) == std::vector<int>(32, 5), "named barriers");
  }
  options().seed = 0;
}

// ---- TMA ----
CUtensorMap map_of(void* data, int columns, int rows, int planes, int box_columns, int box_rows,
                   bool tf32 = false) {
  CUtensorMap map;
  const cuuint64_t dims[3] = {cuuint64_t(columns), cuuint64_t(rows), cuuint64_t(planes)};
  const cuuint64_t bytes = tf32 ? 4 : 2;
  const cuuint64_t strides[2] = {dims[0] * bytes, dims[0] * dims[1] * bytes};
  const cuuint32_t box[3] = {cuuint32_t(box_columns), cuuint32_t(box_rows), 1}, ones[3] = {1, 1, 1};
  void* encode = nullptr;
  cudaDriverEntryPointQueryResult found;
  cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encode, 12000, cudaEnableDefault,
                                   &found);
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(encode)(
      &map, tf32 ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, data,
      dims, strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "a tensor map");
  return map;
}

// Loads a box of 64 columns and 16 rows, and shows it as it lies.
__global__ void box_as_it_lies(const __grid_constant__ CUtensorMap from, int x, int y, int z,
                               uint16_t* raw) {
  unsigned char* const tile = dynamic();
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(tile + 2048);
  if (threadIdx.x == 0) mbarrier_init(barrier, 1);
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_prefetch(&from);
    mbarrier_arrive_expect(barrier, 2048);
    tma_load(tile, &from, barrier, x, y, z);
  }
  mbarrier_wait(barrier, 0);
  for (int i = threadIdx.x; i < 1024; i += blockDim.x)
    raw[i] = reinterpret_cast<uint16_t*>(tile)[i];
}

void boxes() {
  const int columns = 72, rows = 21, planes = 2;
  std::vector<uint16_t> values(columns * rows * planes);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(i + 1);
  for (const int at : {0, 1}) {  // within the tensor; over its edges
    const int x = at ? 40 : 8, y = at ? -3 : 2, z = 1;
    uint16_t *from = upload(values), *raw = upload(std::vector<uint16_t>(1024));
    launch(box_as_it_lies, dim3(1), dim3(32), Shared{2048 + 8},
           map_of(from, columns, rows, planes, 64, 16), x, y, z, raw);
    cudaFree(from);
    const std::vector<uint16_t> tile = download(raw, 1024);
    bool swizzled = true;
    for (int r = 0; r < 16; ++r)
      for (int c = 0; c < 64; ++c) {
        const int gx = x + c, gy = y + r;
        const bool in = gx < columns && gy >= 0 && gy < rows;
        const size_t place = static_cast<size_t>((z * rows + gy) * columns + gx);
        const size_t piece = static_cast<size_t>(r * 64 + ((c / 8) ^ (r % 8)) * 8 + c % 8);
        swizzled &= tile[piece] == (in ? values[place] : 0);
      }
    check(swizzled, "a box comes swizzled, with zeros outside");
  }
}

// Each of two blocks loads half of a tile into both.
__global__ void halves(const __grid_constant__ CUtensorMap map, uint16_t* out) {
  unsigned char* const tile = dynamic();
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(tile + 4096);
  const int rank = static_cast<int>(cluster_rank());
  if (threadIdx.x == 0) mbarrier_init(barrier, 1);
  cluster_sync();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(barrier, 4096);
    tma_load_multicast(tile + 2048 * rank, &map, barrier, 3, 0, 16 * rank, 0);
  }
  mbarrier_wait(barrier, 0);
  out[blockIdx.x * 2048 + threadIdx.x] = reinterpret_cast<uint16_t*>(tile)[threadIdx.x];
  out[blockIdx.x * 2048 + 1024 + threadIdx.x] =
      reinterpret_cast<uint16_t*>(tile)[1024 + threadIdx.x];
  cluster_sync();
}
__global__ void leaves_too_early() {
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(dynamic());
  mbarrier_init(barrier, 1);
  cluster_sync();
  if (cluster_rank() == 0) return;
  __nanosleep(1);
  mbarrier_arrive_at(barrier, 0);
}

void clusters() {
  std::vector<uint16_t> values(64 * 32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(i);
  for (options().seed = 0; options().seed < 4; ++options().seed) {
    uint16_t *from = upload(values), *d = upload(std::vector<uint16_t>(4 * 2048));
    launch(halves, dim3(4), dim3(1024), Shared{4096 + 8, 2}, map_of(from, 64, 32, 1, 64, 16), d);
    cudaFree(from);
    const std::vector<uint16_t> out = download(d, 4 * 2048);
    bool right = true;
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t r = i % 2048 / 64, c = i % 64;
      right &= out[i] == r * 64 + (c / 8 ^ r % 8) * 8 + c % 8;
    }
    check(right, "multicast to both blocks of a cluster");
  }
  options().seed = 0;
}

// ---- wgmma ----
uint64_t descriptor(const void* tile, uint64_t leading, uint64_t stride) {
  return (shared_address(tile) & 0x3FFFF) >> 4 | leading >> 4 << 16 | stride >> 4 << 32 |
         uint64_t{1} << 62;
}

// C[64, N] = 2 A[64, 64] B[64, N]. A: lines of 64 k, or (a_mn) k lines of 64; B alike.
template <int N, bool a_mn, bool b_mn>
__global__ void group_product(const __grid_constant__ CUtensorMap a,
                              const __grid_constant__ CUtensorMap b, float* c, bool wait) {
  unsigned char* const at = dynamic();
  unsigned char* const bt = at + 64 * 128;
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(bt + N * 128);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    mbarrier_arrive_expect(barrier, 64 * 128 + N * 128);
    tma_load(at, &a, barrier, 0, 0, 0);
    if (b_mn)
      for (int i = 0; i < N / 64; ++i) tma_load(bt + i * 8192, &b, barrier, 64 * i, 0, 0);
    else
      tma_load(bt, &b, barrier, 0, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(barrier, 0);
  float d[N / 2] = {};
  wgmma_fence();
  for (int twice = 0; twice < 2; ++twice)
    for (int k = 0; k < 4; ++k)
      wgmma_bf16<N, a_mn, b_mn>(d, descriptor(at + k * (a_mn ? 2048 : 32), 8192, 1024),
                                descriptor(bt + k * (b_mn ? 2048 : 32), 8192, 1024), twice + k > 0);
  wgmma_commit();
  if (wait) wgmma_wait<0>();
  const int w = threadIdx.x / 32, l = threadIdx.x % 32;
  for (int j = 0; j < N / 8; ++j)
    for (int i = 0; i < 2; ++i)
      for (int e = 0; e < 2; ++e)
        c[(16 * w + l / 4 + 8 * i) * N + 8 * j + 2 * (l % 4) + e] = d[4 * j + 2 * i + e];
  if (!wait) wgmma_wait<0>();
}

template <int N, bool a_mn, bool b_mn>
std::vector<float> multiply(bool wait = true) {
  std::vector<uint16_t> a(64 * 64), b(64 * N);
  for (int i = 0; i < 64; ++i)
    for (int k = 0; k < 64; ++k)
      a[static_cast<size_t>(a_mn ? k * 64 + i : i * 64 + k)] = bf16(number(i, k));
  for (int i = 0; i < N; ++i)
    for (int k = 0; k < 64; ++k)
      b[static_cast<size_t>(b_mn ? k * N + i : i * 64 + k)] = bf16(number(i, k));
  uint16_t *da = upload(a), *db = upload(b);
  float* c = upload(std::vector<float>(64 * N));
  launch(group_product<N, a_mn, b_mn>, dim3(1), dim3(128), Shared{64 * 128 + N * 128 + 8},
         map_of(da, 64, 64, 1, 64, 64),
         b_mn ? map_of(db, N, 64, 1, 64, 64) : map_of(db, 64, N, 1, 64, N), c, wait);
  cudaFree(da);
  cudaFree(db);
  return download(c, 64 * N);
}

// C[64, N] = A[64, 32] B[32, N] of tf32. A: 64 lines of 32 k; B: N.
template <int N>
__global__ void tf32_group_product(const __grid_constant__ CUtensorMap a,
                                   const __grid_constant__ CUtensorMap b, float* c) {
  unsigned char* const at = dynamic();
  unsigned char* const bt = at + 64 * 128;
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(bt + N * 128);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    mbarrier_arrive_expect(barrier, 64 * 128 + N * 128);
    tma_load(at, &a, barrier, 0, 0, 0);
    tma_load(bt, &b, barrier, 0, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(barrier, 0);
  float d[N / 2] = {};
  wgmma_fence();
  for (int k = 0; k < 4; ++k)
    wgmma_tf32<N>(d, descriptor(at + k * 32, 8192, 1024), descriptor(bt + k * 32, 8192, 1024),
                  k > 0);
  wgmma_commit();
  wgmma_wait<0>();
  const int w = threadIdx.x / 32, l = threadIdx.x % 32;
  for (int j = 0; j < N / 8; ++j)
    for (int i = 0; i < 2; ++i)
      for (int e = 0; e < 2; ++e)
        c[(16 * w + l / 4 + 8 * i) * N + 8 * j + 2 * (l % 4) + e] = d[4 * j + 2 * i + e];
}

template <int N>
std::vector<float> multiply_tf32() {
  std::vector<float> a, b;
  // What rounds to the numbers: just less than half a unit in the last place of tf32 away.
  const auto near = [](float x, int by) {
    return x == 0 ? x : __uint_as_float(__float_as_uint(x) + static_cast<unsigned>(by));
  };
  for (int i = 0; i < 64 * 32; ++i) a.push_back(near(number(i / 32, i % 32), 0xFFF));
  for (int i = 0; i < N * 32; ++i) b.push_back(near(number(i / 32, i % 32), -0xFFF));
  float *da = upload(a), *db = upload(b), *c = upload(std::vector<float>(64 * N));
  launch(tf32_group_product<N>, dim3(1), dim3(128), Shared{64 * 128 + N * 128 + 8},
         map_of(da, 32, 64, 1, 32, 64, true), map_of(db, 32, N, 1, 32, N, true), c);
  cudaFree(da);
  cudaFree(db);
  return download(c, 64 * N);
}

// What the copy engine makes of float32 that it is to bring as tf32.
__global__ void bring_line(const __grid_constant__ CUtensorMap from, float* out) {
  unsigned char* const tile = dynamic();
  uint64_t* const barrier = reinterpret_cast<uint64_t*>(tile + 128);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    mbarrier_arrive_expect(barrier, 128);
    tma_load(tile, &from, barrier, 0, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(barrier, 0);
  out[threadIdx.x] = reinterpret_cast<float*>(tile)[threadIdx.x];
}
void rounding() {
  std::vector<float> line(32);
  line[0] = 1 + 0x1p-11f;      // ties go to even: 1
  line[1] = 1 + 3 * 0x1p-11f;  // 1 + 2⁻⁹
  line[2] = -1 - 0x1p-11f - 0x1p-23f;
  line[3] = INFINITY;
  line[4] = NAN;
  float *from = upload(line), *to = upload(line);
  launch(bring_line, dim3(1), dim3(32), Shared{128 + 8}, map_of(from, 32, 1, 1, 32, 1, true), to);
  cudaFree(from);
  const std::vector<float> got = download(to, 32);
  check(got[0] == 1 && got[1] == 1 + 0x1p-9f && got[2] == -1 - 0x1p-10f, "a copy rounds to tf32");
  check(got[3] == INFINITY && isnan(got[4]), "but not what is not finite");
}

__global__ void without_fence() {
  float d[4] = {};
  const uint64_t operand = descriptor(dynamic(), 0, 1024);
  wgmma_bf16<8, false, false>(d, operand, operand, true);
}
__global__ void never_waits() {
  float d[4] = {};
  const uint64_t operand = descriptor(dynamic(), 0, 1024);
  wgmma_fence();
  wgmma_bf16<8, false, false>(d, operand, operand, true);
}
__global__ void outside() {
  float d[4] = {};
  const uint64_t operand = descriptor(dynamic() + 8192, 0, 1024);
  wgmma_fence();
  wgmma_bf16<8, false, false>(d, operand, operand, true);
  wgmma_commit();
  wgmma_wait<0>();
}

void warpgroups() {
  for (options().seed = 0; options().seed < 3; ++options().seed) {
    check(is_product(multiply<64, false, false>(), 64, 64, 64, 2), "wgmma: A and B K-major");
    check(is_product(multiply<128, true, false>(), 64, 128, 64, 2), "wgmma: A MN-major");
    check(is_product(multiply<128, false, true>(), 64, 128, 64, 2), "wgmma: B MN-major");
    check(is_product(multiply<256, true, true>(), 64, 256, 64, 2), "wgmma: A and B MN-major");
  }
  options().seed = 0;
  check(is_product(multiply_tf32<64>(), 64, 64, 32), "wgmma of tf32");
  check(is_product(multiply_tf32<256>(), 64, 256, 32), "wgmma of tf32, 256 columns");
  int poison = 0;
  for (float x : multiply<64, false, false>(false)) poison += x != x;
  check(poison == 64 * 64, "accumulators are not there before the wait");
}

// First, while the process has one thread: others are not in a child.
void deaths() {
  check(dies([] { launch(waits_for_nobody, dim3(1), dim3(1)); }, "mbarrier.try_wait"),
        "a deadlock");
  check(dies([] { launch(one_too_many, dim3(1), dim3(3)); }, "more arrivals"), "too many arrivals");
  check(dies([] { launch(not_initialized, dim3(1), dim3(1)); }, "not initialized"), "no init");
  check(dies(
            [] {
              launch(leaves_too_early, dim3(2), dim3(1), Shared{8, 2});
            },
            "has ended"),
        "shared memory of a block that has ended");
  check(dies([] { launch(without_fence, dim3(1), dim3(128), Shared{8192}); }, "wgmma.fence"),
        "no fence");
  check(dies([] { launch(never_waits, dim3(1), dim3(128), Shared{8192}); }, "waited for"),
        "no wait");
  check(dies([] { launch(outside, dim3(1), dim3(128), Shared{8193}); }, "outside"),
        "an operand that is not all in shared memory");
  options().capability = 80;
  check(dies([] { launch(outside, dim3(1), dim3(128), Shared{8193}); }, "capability 9.0"), "8.0");
  options().capability = 90;
}

}  // namespace

int main() {
  deaths();
  conversions();
  warp_units();
  barriers();
  boxes();
  clusters();
  warpgroups();
  rounding();
  return tg::test::summary();
}
