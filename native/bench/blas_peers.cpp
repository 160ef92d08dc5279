// See blas_peers.h. oneDNN's two entry points are two peers: its sgemm and its matmul primitive,
// which needs its header when this is built.
#include "blas_peers.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#define TG_HAS_DNNL (DNNL_VERSION_MAJOR == 2)
#endif

namespace tg::bench {
namespace {

template <class F>
bool find(void* library, const char* name, F*& function) {
  function = library == nullptr ? nullptr : reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

// The CBLAS interface: row-major 101, as stored 111, transposed 112.
template <class T>
class Cblas : public Peer<T> {
 public:
  Cblas(const char* its_name, const char* file, const char* set_threads, int threads)
      : Peer<T>(its_name) {
    void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    void (*set)(int);
    ok = find(library, set_threads, set) &&
         find(library, sizeof(T) == 4 ? "cblas_sgemm" : "cblas_dgemm", gemm_);
    if (ok) set(threads);
  }
  bool prepare(const Product<T>& p) override {
    p_ = p;
    return true;
  }
  void run() override {
    gemm_(101, p_.ta ? 112 : 111, p_.tb ? 112 : 111, static_cast<int>(p_.m), static_cast<int>(p_.n),
          static_cast<int>(p_.k), 1, p_.a, static_cast<int>(p_.ta ? p_.m : p_.k), p_.b,
          static_cast<int>(p_.tb ? p_.k : p_.n), 0, p_.c, static_cast<int>(p_.n));
  }
  bool ok;

 private:
  void (*gemm_)(int, int, int, int, int, int, T, const T*, int, const T*, int, T, T*, int);
  Product<T> p_{};
};

class Dnnl : public Peer<float> {
 public:
  explicit Dnnl(int threads) : Peer("onednn-sgemm") {
    void* library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_GLOBAL);
    void (*set)(int);
    ok = find(library, "omp_set_num_threads", set) && find(library, "dnnl_sgemm", gemm_);
    if (ok) set(threads);
  }
  bool prepare(const Product<float>& p) override {
    p_ = p;
    return true;
  }
  void run() override {
    gemm_(p_.ta ? 'T' : 'N', p_.tb ? 'T' : 'N', p_.m, p_.n, p_.k, 1, p_.a, p_.ta ? p_.m : p_.k,
          p_.b, p_.tb ? p_.k : p_.n, 0, p_.c, p_.n);
  }
  bool ok;

 private:
  int (*gemm_)(char, char, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*,
               int64_t, float, float*, int64_t);
  Product<float> p_{};
};

#if TG_HAS_DNNL
class DnnlMatmul : public Peer<float> {
 public:
  explicit DnnlMatmul(int threads) : Peer("onednn-matmul") {
    void* library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_GLOBAL);
    void (*set)(int);
    ok = find(library, "omp_set_num_threads", set) &&
         find(library, "dnnl_engine_create", engine_create_) &&
         find(library, "dnnl_stream_create", stream_create_) &&
         find(library, "dnnl_memory_desc_init_by_strides", describe_) &&
         find(library, "dnnl_matmul_desc_init", matmul_init_) &&
         find(library, "dnnl_primitive_desc_create", choose_) &&
         find(library, "dnnl_primitive_desc_destroy", drop_choice_) &&
         find(library, "dnnl_primitive_create", create_) &&
         find(library, "dnnl_primitive_destroy", destroy_) &&
         find(library, "dnnl_memory_create", memory_create_) &&
         find(library, "dnnl_memory_destroy", memory_destroy_) &&
         find(library, "dnnl_primitive_execute", execute_) &&
         find(library, "dnnl_stream_wait", wait_);
    if (!ok) return;
    set(threads);
    ok = engine_create_(&engine_, dnnl_cpu, 0) == dnnl_success &&
         stream_create_(&stream_, engine_, dnnl_stream_default_flags) == dnnl_success;
  }
  ~DnnlMatmul() override { drop(); }  // the engine lives as long as the process
  bool prepare(const Product<float>& p) override {
    drop();
    const dnnl_dims_t a = {p.m, p.k}, b = {p.k, p.n}, c = {p.m, p.n};
    const dnnl_dims_t a_steps = {p.ta ? 1 : p.k, p.ta ? p.m : 1};
    const dnnl_dims_t b_steps = {p.tb ? 1 : p.n, p.tb ? p.k : 1}, c_steps = {p.n, 1};
    dnnl_memory_desc_t of[3];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t choice = nullptr;
    if (describe_(&of[0], 2, a, dnnl_f32, a_steps) != dnnl_success ||
        describe_(&of[1], 2, b, dnnl_f32, b_steps) != dnnl_success ||
        describe_(&of[2], 2, c, dnnl_f32, c_steps) != dnnl_success ||
        matmul_init_(&matmul, &of[0], &of[1], nullptr, &of[2]) != dnnl_success ||
        choose_(&choice, &matmul, nullptr, engine_, nullptr) != dnnl_success)
      return false;
    bool made = create_(&primitive_, choice) == dnnl_success;
    drop_choice_(choice);
    void* const data[] = {const_cast<float*>(p.a), const_cast<float*>(p.b), p.c};
    const int roles[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    for (int i = 0; made && i < 3; ++i) {
      made = memory_create_(&arguments_[i].memory, &of[i], engine_, data[i]) == dnnl_success;
      arguments_[i].arg = roles[i];
    }
    return made;
  }
  void run() override {
    execute_(primitive_, stream_, 3, arguments_);
    wait_(stream_);
  }
  bool ok;

 private:
  void drop() {
    for (dnnl_exec_arg_t& argument : arguments_) {
      if (argument.memory != nullptr) memory_destroy_(argument.memory);
      argument.memory = nullptr;
    }
    if (primitive_ != nullptr) destroy_(primitive_);
    primitive_ = nullptr;
  }
  decltype(dnnl_engine_create)* engine_create_;
  decltype(dnnl_stream_create)* stream_create_;
  decltype(dnnl_memory_desc_init_by_strides)* describe_;
  decltype(dnnl_matmul_desc_init)* matmul_init_;
  decltype(dnnl_primitive_desc_create)* choose_;
  decltype(dnnl_primitive_desc_destroy)* drop_choice_;
  decltype(dnnl_primitive_create)* create_;
  decltype(dnnl_primitive_destroy)* destroy_;
  decltype(dnnl_memory_create)* memory_create_;
  decltype(dnnl_memory_destroy)* memory_destroy_;
  decltype(dnnl_primitive_execute)* execute_;
  decltype(dnnl_stream_wait)* wait_;
  dnnl_engine_t engine_ = nullptr;
  dnnl_stream_t stream_ = nullptr;
  dnnl_primitive_t primitive_ = nullptr;
  dnnl_exec_arg_t arguments_[3] = {};
};
#endif

// A library is opened only if it is asked for: some start threads at once.
bool wanted(const char* names, const char* name) {
  if (names == nullptr) return true;
  const char* at = strstr(names, name);
  return at != nullptr;
}

}  // namespace

template <class T>
std::vector<std::unique_ptr<Peer<T>>> open_peers(const char* names, int threads) {
  // They look for these when they are loaded, and take slow kernels on processors newer than they.
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512dq")) {
    setenv("OPENBLAS_CORETYPE", "SKYLAKEX", 0);
    setenv("BLIS_ARCH_TYPE", "skx", 0);
  }
#endif
  std::vector<std::unique_ptr<Peer<T>>> peers;
  auto take = [&](auto* peer) {
    std::unique_ptr<Peer<T>> owned(peer);
    if (peer->ok) peers.push_back(std::move(owned));
  };
  if (wanted(names, "openblas"))
    take(new Cblas<T>("openblas", "libopenblas.so.0", "openblas_set_num_threads", threads));
  if (wanted(names, "blis"))
    take(new Cblas<T>("blis", "libblis.so.4", "bli_thread_set_num_threads", threads));
  if constexpr (sizeof(T) == 4) {
    if (wanted(names, "onednn")) take(new Dnnl(threads));
#if TG_HAS_DNNL
    if (wanted(names, "onednn")) take(new DnnlMatmul(threads));
#endif
  }
  return peers;
}

template std::vector<std::unique_ptr<Peer<float>>> open_peers(const char*, int);
template std::vector<std::unique_ptr<Peer<double>>> open_peers(const char*, int);

}  // namespace tg::bench
