// A child process of `npm run bench`: `child gemm library=openblas dtype=float32 m=64 …` prints one
// Measurement (bench/measure.ts) as a line of JSON. It measures what another language's calls would
// falsify: the BLAS libraries and the machine's limits. bench/native.ts builds it; it is no part of
// the package.
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>

#include <map>
#include <random>

#include "blas_peers.h"
#include "limits.h"
#include "timing.h"

namespace tg::bench {
namespace {

[[noreturn]] void fail(const std::string& why) {
  fprintf(stderr, "%s\n", why.c_str());
  exit(1);
}

// key=value arguments.
struct Arguments {
  std::map<std::string, std::string> values;

  std::string text(const std::string& key) const {
    auto found = values.find(key);
    if (found == values.end()) fail(key + "= is missing");
    return found->second;
  }
  double number(const std::string& key) const {
    const std::string value = text(key);
    char* end;
    const double x = strtod(value.c_str(), &end);
    if (end == value.c_str() || *end != 0 || !(x >= 0 && x < 1e18))
      fail(key + "=" + value + " is no number from 0 to 1e18");
    return x;
  }
  int64_t integer(const std::string& key) const { return static_cast<int64_t>(number(key)); }
};

// A library's function of no arguments (or one), null if it has none.
template <class F>
F* find(void* library, const char* name) {
  return reinterpret_cast<F*>(dlsym(library, name));
}

// What it calls itself and the kernels that it chose: "OpenBLAS 0.3.21", "SkylakeX".
struct Description {
  std::string library, isa = "?";
};

Description describe_openblas(void* library) {
  Description d{"OpenBLAS"};
  if (auto* config = find<const char*()>(library, "openblas_get_config")) {
    const std::string text = config();  // "OpenBLAS 0.3.21 NO_AFFINITY …"
    d.library = text.substr(0, text.find(' ', text.find(' ') + 1));
  }
  if (auto* core = find<const char*()>(library, "openblas_get_corename")) d.isa = core();
  return d;
}

Description describe_blis(void* library) {
  Description d{"BLIS"};
  if (auto* init = find<void()>(library, "bli_init")) init();  // it aborts if asked before
  if (auto* version = find<const char*()>(library, "bli_info_get_version_str"))
    d.library += std::string(" ") + version();
  auto* id = find<int()>(library, "bli_arch_query_id");
  auto* name = find<const char*(int)>(library, "bli_arch_string");
  if (id != nullptr && name != nullptr) d.isa = name(id());
  return d;
}

Description describe_onednn(void* library) {
  struct Version {
    int major, minor, patch;
  };
  Description d{"oneDNN"};
  if (auto* version = find<const Version*()>(library, "dnnl_version")) {
    const Version& v = *version();
    d.library += ' ' + std::to_string(v.major) + '.' + std::to_string(v.minor) + '.' +
                 std::to_string(v.patch);
  }
  if (auto* isa = find<int()>(library, "dnnl_get_effective_cpu_isa")) {
    char text[32];
    snprintf(text, sizeof text, "isa 0x%x", isa());  // a dnnl_cpu_isa_t: a set of bits
    d.isa = text;
  }
  return d;
}

Description describe(const std::string& name) {
  struct {
    const char *name, *file;
    Description (*describe)(void*);
  } const known[] = {{"openblas", "libopenblas.so.0", describe_openblas},
                     {"onednn", "libdnnl.so.2", describe_onednn},
                     {"blis", "libblis.so.4", describe_blis}};
  for (const auto& k : known) {
    if (name != k.name) continue;
    void* library = dlopen(k.file, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail(dlerror());
    return k.describe(library);
  }
  fail("no library is named " + name);
}

template <class T>
T* random_normal(int64_t n, std::mt19937& engine) {
  const size_t bytes = (static_cast<size_t>(n) * sizeof(T) + 63) / 64 * 64;
  auto* data = static_cast<T*>(aligned_alloc(64, bytes));
  if (data == nullptr) fail("no memory");
  std::normal_distribution<T> normal;
  for (int64_t i = 0; i < n; ++i) data[i] = normal(engine);
  return data;
}

// A library called the wrong way might be fast: some elements of C, each against its sum.
template <class T>
void check(const Product<T>& p, std::mt19937& engine) {
  for (int trial = 0; trial < 16; ++trial) {
    const int64_t i = static_cast<int64_t>(engine()) % p.m;
    const int64_t j = static_cast<int64_t>(engine()) % p.n;
    double sum = 0, size = 0;
    for (int64_t l = 0; l < p.k; ++l) {
      const double product = double{p.ta ? p.a[l * p.m + i] : p.a[i * p.k + l]} *
                             double{p.tb ? p.b[j * p.k + l] : p.b[l * p.n + j]};
      sum += product;
      size += fabs(product);
    }
    const double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
    if (!(fabs(sum - double{p.c[i * p.n + j]}) <= static_cast<double>(p.k + 2) * unit * size))
      fail("wrong product at [" + std::to_string(i) + ", " + std::to_string(j) + "]");
  }
}

template <class T>
void run_gemm(const Arguments& args) {
  const std::string name = args.text("library");
  const int threads = static_cast<int>(args.integer("threads"));
  const double seconds = args.number("seconds");
  const Description description = describe(name);

  std::mt19937 engine(static_cast<unsigned>(args.integer("seed")));
  Product<T> p{};
  p.m = args.integer("m"), p.n = args.integer("n"), p.k = args.integer("k");
  p.ta = args.text("transposed") == "a", p.tb = args.text("transposed") == "b";
  p.a = random_normal<T>(p.m * p.k, engine);
  p.b = random_normal<T>(p.k * p.n, engine);
  p.c = random_normal<T>(p.m * p.n, engine);

  // Where a library has several ways to multiply, a trial finds its best.
  const auto peers = open_peers<T>(name.c_str(), threads);
  Peer<T>* best = nullptr;
  double best_time = INFINITY;
  const auto runner = [](Peer<T>& peer) {
    return [&peer](int64_t count) {
      for (int64_t i = 0; i < count; ++i) peer.run();
    };
  };
  for (const auto& peer : peers) {
    if (!peer->prepare(p)) continue;
    const double took = peers.size() > 1 ? trial(runner(*peer)) : 0;
    if (took < best_time) best_time = took, best = peer.get();
  }
  if (best == nullptr) fail(description.library + " cannot do this product");
  const Timing timing = measure(runner(*best), seconds);
  check(p, engine);
  print(timing, description.library, description.isa, threads, peers.size() > 1 ? best->name : "");
}

void run_limit(const Arguments& args) {
  ThreadPool pool(static_cast<int>(args.integer("threads")));
  const std::string kind = args.text("kind");
  const double seconds = args.number("seconds");
  Timing timing;
  if (kind == "fma") {
    const double flops = args.number("flops");
    timing = args.text("dtype") == "float64" ? fma_peak<double>(pool, flops, seconds)
                                             : fma_peak<float>(pool, flops, seconds);
  } else {
    timing = bandwidth(pool, kind, args.integer("bytes"), seconds);
  }
  print(timing, kind, limits_isa(), pool.size());
}

}  // namespace
}  // namespace tg::bench

int main(int argc, char** argv) {
  using namespace tg::bench;
  Arguments args;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) fail(argument + " is not key=value");
    args.values[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "limit")
    run_limit(args);
  else if (command == "gemm" && args.text("dtype") == "float64")
    run_gemm<double>(args);
  else if (command == "gemm")
    run_gemm<float>(args);
  else if (command == "probe")
    puts(describe(args.text("library")).library.c_str());
  else
    fail("usage: child gemm|limit|probe key=value …");
}
