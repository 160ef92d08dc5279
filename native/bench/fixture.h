// What the native benchmarks share: an engine of one thread with a chosen instruction set, and
// short names for making, using and dropping its tensors. Everything runs through Engine, as it
// does under the binding. A failure ends the program: a benchmark of an error is of no use.
#pragma once

#include <initializer_list>
#include <stdio.h>
#include <stdlib.h>

#include "../core/engine.h"
#include "../cpu/backend.h"

namespace bench {

class Fixture {
 public:
  using Handle = double;

  // `isa` as in TAPEGRAD_ISA.
  explicit Fixture(const char* isa) : engine_(backend_of(isa), size_t{1} << 33, 1), isa_(isa) {}

  const char* isa() const { return isa_; }
  tg::Engine& engine() { return engine_; }

  Handle run(tg::Op op, std::initializer_list<Handle> inputs,
             std::initializer_list<double> attrs = {}) {
    uint32_t slot = 0;
    check(engine_.run(op, inputs.begin(), static_cast<int>(inputs.size()), 0, attrs.begin(),
                      static_cast<int>(attrs.size()), &slot));
    return engine_.table().handle_of(slot);
  }
  void drop(Handle handle) { engine_.release(slot_of(handle)); }
  // Runs and drops the result, as a loop over one op does.
  void once(tg::Op op, std::initializer_list<Handle> inputs,
            std::initializer_list<double> attrs = {}) {
    drop(run(op, inputs, attrs));
  }
  // One update of float32 parameters of the shape of x by Adam; m and v are its states.
  void adam(Handle x, Handle g, Handle m, Handle v) {
    const double handles[] = {x, g, m, v};
    // rate, decay, shrink, keep1, keep2, take1, take2, correction2, eps
    const double numbers[] = {1e-6, 0, 1, 0.9, 0.999, 0.1, 0.001, 1, 1e-8};
    check(engine_.optimize(tg::optimizer_adam, handles, 4, numbers, 9));
  }

  // Normal numbers with the seed of this fixture: the same in every run.
  Handle normal(int64_t rows, int64_t columns) {
    return run(tg::op_normal, {}, {2, double(rows), double(columns), 0, 0, 1, 7, ++stream_});
  }
  Handle normal(int64_t n) { return run(tg::op_normal, {}, {1, double(n), 0, 0, 1, 7, ++stream_}); }
  // A view of a matrix.
  Handle transposed(Handle x) { return run(tg::op_permute, {x}, {2, 1, 0}); }
  float* data(Handle x) { return static_cast<float*>(engine_.table().find(x)->view.data); }

 private:
  static uint32_t slot_of(Handle handle) {  // see TensorTable: generation · 2^24 + slot
    return static_cast<uint32_t>(static_cast<uint64_t>(handle) & 0xffffff);
  }
  static const tg::Backend& backend_of(const char* isa) {
    tg::Error error;
    const tg::Backend* backend = nullptr;
    const char* chosen;
    if (tg::cpu::choose_backend(isa, &error, &backend, &chosen) != tg::Status::ok) {
      fprintf(stderr, "%s\n", error.message());
      exit(2);
    }
    return *backend;
  }
  void check(tg::Status status) {
    if (status == tg::Status::ok) return;
    fprintf(stderr, "%s\n", engine_.error().message());
    exit(1);
  }

  tg::Engine engine_;
  const char* isa_;
  double stream_ = 0;
};

}  // namespace bench
