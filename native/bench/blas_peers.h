// Other libraries' matrix products, opened at run time where they are installed: OpenBLAS, BLIS and
// oneDNN. Includes nothing of the project.
#pragma once

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

namespace tg::bench {

// C[m,n] = op(A) op(B), row-major and without gaps; ta, tb: the operand is stored transposed.
template <class T>
struct Product {
  int64_t m, n, k;
  bool ta, tb;
  const T *a, *b;
  T* c;
};

// A library's product, prepared for one problem.
template <class T>
class Peer {
 public:
  explicit Peer(const char* its_name) : name(its_name) {}
  virtual ~Peer() = default;
  virtual bool prepare(const Product<T>&) = 0;  // false: it cannot do this one
  virtual void run() = 0;
  const std::string name;
};

// Those of `names` (a comma-separated list; null: all) that are installed and know T, set to use
// this many threads.
template <class T>
std::vector<std::unique_ptr<Peer<T>>> open_peers(const char* names, int threads);

extern template std::vector<std::unique_ptr<Peer<float>>> open_peers(const char*, int);
extern template std::vector<std::unique_ptr<Peer<double>>> open_peers(const char*, int);

}  // namespace tg::bench
