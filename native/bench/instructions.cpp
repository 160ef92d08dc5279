// How many instructions the engine and its kernels take: each case runs under callgrind, which
// dumps a count of its own for it. Arguments: <isa>. Without valgrind it runs, but nothing is
// counted. Compiled and read by bench/check/native.ts. Sizes are small: valgrind is fifty times
// slower.
#include "fixture.h"

#include <valgrind/callgrind.h>

using bench::Fixture;
using namespace tg;

namespace {

// Runs `body` once to warm up (memory pool, page faults), then counts it under `name`.
template <class F>
void count(const char* name, F&& body) {
  body();
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  body();
  CALLGRIND_DUMP_STATS_AT(name);
  CALLGRIND_STOP_INSTRUMENTATION;
  puts(name);
}

// Host code: what an op on small tensors costs before and after its kernel.
void host(Fixture& f) {
  const double a = f.normal(8, 8), b = f.normal(8, 8), row = f.normal(8);
  const auto times = [](auto body) {
    return [=] {
      for (int i = 0; i < 1000; ++i) body();
    };
  };
  count("host/add-8x8", times([&] { f.once(op_add, {a, b}); }));
  count("host/add-8x8-broadcast", times([&] { f.once(op_add, {a, row}); }));
  count("host/sum-8x8", times([&] { f.once(op_sum, {a}, {-1, 0}); }));
  count("host/matmul-8x8", times([&] { f.once(op_matmul, {a, b}); }));
  count("host/permute-8x8", times([&] { f.drop(f.transposed(a)); }));
  count("host/slice-8x8", times([&] { f.once(op_slice, {a}, {0, 1, 5, 1}); }));
}

// A training step of a 4-16-3 network on 32 rows, as the tape would call it.
void step(Fixture& f) {
  const double x = f.normal(32, 4), w1 = f.normal(16, 4), b1 = f.normal(16), w2 = f.normal(3, 16),
               b2 = f.normal(3), target = f.run(op_softmax, {f.normal(32, 3)}, {1}),
               ones = f.run(op_full, {}, {1, 32, 0, 1});
  const double parameters[] = {w1, b1, w2, b2};
  double states[8];
  for (int i = 0; i < 8; ++i) states[i] = f.run(op_sub, {parameters[i / 2], parameters[i / 2]});
  count("host/step-4-16-3-b32", [&] {
    for (int i = 0; i < 20; ++i) {
      const double h = f.run(op_linear, {x, w1, b1}), y = f.run(op_relu, {h});
      const double z = f.run(op_linear, {y, w2, b2}), l = f.run(op_crossEntropy, {z, target});
      f.once(op_mean, {l}, {-1, 0});
      const double dz = f.run(op_crossEntropyBackward, {ones, z, target});
      const double dzt = f.transposed(dz), dw2 = f.run(op_matmul, {dzt, y});
      const double db2 = f.run(op_sumTo, {dz}, {1, 3}), dy = f.run(op_matmul, {dz, w2});
      const double dh = f.run(op_relu_dx, {dy, y}), dht = f.transposed(dh);
      const double dw1 = f.run(op_matmul, {dht, x}), db1 = f.run(op_sumTo, {dh}, {1, 16});
      const double gradients[] = {dw1, db1, dw2, db2};
      for (int p = 0; p < 4; ++p)
        f.adam(parameters[p], gradients[p], states[2 * p], states[2 * p + 1]);
      for (double t : {h, y, z, l, dz, dzt, dw2, db2, dy, dh, dht, dw1, db1}) f.drop(t);
    }
  });
}

void products(Fixture& f) {
  const double a = f.normal(128, 256), b = f.normal(256, 256),
               at = f.transposed(f.normal(256, 128)), bt = f.transposed(f.normal(256, 256)),
               skinny = f.normal(4, 256), row = f.normal(1, 256), page = f.normal(256, 1024),
               wide = f.normal(32, 256), small = f.normal(64, 64);
  count("gemm/128x256x256", [&] { f.once(op_matmul, {a, b}); });
  count("gemm/128x256x256-at", [&] { f.once(op_matmul, {at, b}); });
  count("gemm/128x256x256-bt", [&] { f.once(op_matmul, {a, bt}); });
  count("gemm/256x256x256", [&] { f.once(op_matmul, {b, b}); });
  count("gemm/32x1024x256", [&] { f.once(op_matmul, {wide, page}); });
  count("gemm/64x64x64", [&] { f.once(op_matmul, {small, small}); });
  count("gemm/4x256x256-bt", [&] { f.once(op_matmul, {skinny, bt}); });
  count("gemm/1x256x256", [&] { f.once(op_matmul, {row, b}); });
  const double a64 = f.run(op_cast, {a}, {1}), b64 = f.run(op_cast, {b}, {1});
  count("gemm/128x256x256-f64", [&] { f.once(op_matmul, {a64, b64}); });
  const double image = f.run(op_reshape, {f.normal(8 * 16, 12 * 12)}, {4, 8, 16, 12, 12}),
               kernel = f.run(op_reshape, {f.normal(32, 16 * 9)}, {4, 32, 16, 3, 3});
  count("conv2d/8x16x12x12-3x3", [&] {
    f.once(op_convolve2d, {image, kernel}, {1, 1, 1, 1, 1, 1, 1});
  });
}

void elementwise(Fixture& f) {
  const double x = f.normal(1 << 14), y = f.normal(1 << 14), positive = f.run(op_exp, {x}),
               x64 = f.run(op_cast, {x}, {1});
  struct {
    const char* name;
    Op op;
  } const unary[] = {{"elementwise/relu", op_relu},    {"elementwise/exp", op_exp},
                     {"elementwise/tanh", op_tanh},    {"elementwise/sigmoid", op_sigmoid},
                     {"elementwise/erf", op_erf},      {"elementwise/sin", op_sin},
                     {"elementwise/gelu", op_geluErf}, {"elementwise/softplus", op_softplus}};
  for (const auto& u : unary) count(u.name, [&] { f.once(u.op, {x}); });
  count("elementwise/log", [&] { f.once(op_log, {positive}); });
  count("elementwise/exp-f64", [&] { f.once(op_exp, {x64}); });
  count("elementwise/mul", [&] { f.once(op_mul, {x, y}); });
  count("elementwise/tanh-backward", [&] { f.once(op_tanh_dx, {x, y}); });
  count("elementwise/dropout", [&] { f.once(op_drop, {x}, {0.5, 3, 4}); });
  count("random/normal", [&] { f.drop(f.normal(1 << 14)); });
}

void rows(Fixture& f) {
  const double x = f.normal(64, 256), g = f.normal(64, 256), weight = f.normal(256),
               bias = f.normal(256);
  count("reduce/sum", [&] { f.once(op_sum, {x}, {-1, 0}); });
  count("reduce/sum-rows", [&] { f.once(op_sum, {x}, {1, 0, 0}); });
  count("reduce/sum-columns", [&] { f.once(op_sum, {x}, {1, 1, 0}); });
  count("reduce/max-columns", [&] { f.once(op_max, {x}, {1, 1, 0}); });
  count("softmax/64x256", [&] { f.once(op_softmax, {x}, {1}); });
  count("softmax/backward-64x256", [&] { f.once(op_softmaxBackward, {g, x}, {1}); });
  count("layer-norm/64x256", [&] { f.once(op_layerNorm, {x, weight, bias}, {1e-5}); });
  const double turned = f.transposed(x);
  count("copy/transpose-64x256", [&] { f.once(op_clone, {turned}); });
}

void update(Fixture& f) {
  const double p = f.normal(1 << 14), g = f.normal(1 << 14), m = f.normal(1 << 14),
               v = f.run(op_square, {f.normal(1 << 14)});
  count("optimizer/adam", [&] { f.adam(p, g, m, v); });
  count("optimizer/accumulate", [&] { f.engine().accumulate(p, g); });
  double norm;
  count("optimizer/gradient-norm", [&] { f.engine().gradient_norm(&g, 1, &norm); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fprintf(stderr, "usage: instructions <isa>\n"), 2;
  Fixture f(argv[1]);
  host(f);
  step(f);
  products(f);
  elementwise(f);
  rows(f);
  update(f);
  return 0;
}
