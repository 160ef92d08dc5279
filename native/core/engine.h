// One environment's tensors, memory, threads and backend. The binding is a thin skin over this
// class, and native tests use it without Node. Not thread-safe: it lives on its JavaScript thread.
#pragma once

#include <new>

#include "backend.h"
#include "infer.h"
#include "recorder.h"
#include "tensor_table.h"
#include "thread_pool.h"

namespace tg {

class Engine {
 public:
  // `limit`: byte budget of live tensors; `threads`: kernels' threads, the caller included.
  Engine(const Backend& backend, size_t limit, int threads);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Runs op on the tensors behind `handles` and puts the result into the table. Where bit i of
  // `scalars` is set, handles[i] is no handle but a number, of the dtype of the first tensor among
  // the inputs (after a condition).
  Status run(Op op, const double* handles, int count, uint32_t scalars, const double* attrs,
             int n_attrs, uint32_t* out);
  // As run, with a list of any length (concat).
  Status run_list(Op op, const double* handles, int count, const double* attrs, int n_attrs,
                  uint32_t* out);
  // A new contiguous tensor whose memory the caller fills before anything else happens.
  Status create(DType dtype, const Shape& shape, uint32_t* out);
  // Zeros with the shape, dtype and memory order of another tensor.
  Status zeros_like(double handle, uint32_t* out);
  // Row-major copies of several tensors into out[0 … count), all or none. What running programs
  // write is copied between two of their steps: all of a program's tensors between the same two.
  Status clone_all(const double* handles, int count, uint32_t* out);
  // Row-major copy into `to` as elements of another dtype; `bytes` must be exactly the room that
  // takes.
  Status read(double handle, DType as, void* to, size_t bytes);
  // Overwrites the elements of `handle` with those of `source`; same shape and dtype.
  Status assign(double handle, double source);
  // handle += source, in place.
  Status accumulate(double handle, double source);
  // One fused update. `handles` lists for each parameter: parameter, gradient, states. Checks all
  // of them before it writes to any.
  Status optimize(int rule, const double* handles, int count, const double* numbers, int n_numbers);
  Status gradient_norm(const double* handles, int count, double* norm);
  Status scale(const double* handles, int count, double factor);
  // Limits every element of every gradient to [-limit, limit].
  Status clip(const double* handles, int count, double limit);
  // Scales the gradients together so that their joint l2 norm is at most `limit`; with `finite` not
  // if the norm is NaN or infinite. `norm`: the one before; NaN while recording.
  Status clip_norm(const double* handles, int count, double limit, bool finite, double* norm);
  void release(uint32_t slot);

  // Moves the memory behind a contiguous tensor, its views included, to where other environments
  // can reach it by the id; the values stay. A tensor that is shared already keeps its id.
  Status share(double handle, double* id);
  // Lets the tensor, its views included, use the shared memory with this id instead of its own.
  // Dtype and shape must agree.
  Status attach(double handle, double id);

  Status find(const char* what, double handle, Tensor** tensor);

  // While a recorder is set, calls are handed to it instead of being run: see recorder.h. Null: run
  // again.
  void set_recorder(Recorder* recorder) { recorder_ = recorder; }
  bool recording() const { return recorder_ != nullptr; }
  // Memory with one user, or null. Not while a kernel runs: near the limit, scratch that only waits
  // for the next one is given up.
  Storage* allocate(size_t bytes);
  Status out_of_memory(const char* what, size_t bytes);
  // A tensor over storage that the caller made or retained; takes over that use.
  Status add(Storage* storage, const TensorView& view, uint32_t* out);
  // A tensor for writing: TG_BUSY if a running program uses its memory.
  Status find_writable(const char* what, double handle, Tensor** tensor);

  // Whether the call under way uses this tensor. Relief must spare it: JavaScript may have dropped
  // the object already, but a kernel is about to read the memory.
  bool in_use(uint32_t slot) const;

  StoragePool& pool() { return pool_; }
  TensorTable& table() { return table_; }
  ThreadPool& threads() { return threads_; }
  ExecContext& context() { return context_; }
  const Backend& backend() const { return backend_; }
  Error& error() { return error_; }
  // Memory that kernels keep between calls; no tensor's.
  size_t scratch_bytes() const {
    return (scratch_[0] ? scratch_[0]->bytes : 0) + (scratch_[1] ? scratch_[1]->bytes : 0);
  }

  // Called when an allocation failed; returns true if memory was freed and another try makes sense.
  struct Relief {
    bool (*free_some)(void* arg, size_t bytes) = nullptr;
    void* arg = nullptr;
  } relief;

 private:
  struct Scratch {
    StoragePool* pool = nullptr;
    Storage* storage = nullptr;
    ~Scratch() {
      if (storage) pool->release(storage);
    }
  };
  // Zeroed room for n things from the pool, given back at the end of the block.
  template <class T>
  class List {
   public:
    List(Engine& engine, int n)
        : pool_(engine.pool_),
          n_(n),
          storage_(engine.allocate(static_cast<size_t>(n > 0 ? n : 1) * sizeof(T))) {
      for (int i = 0; storage_ && i < n; ++i) new (&(*this)[i]) T{};
    }
    ~List() {
      for (int i = 0; storage_ && i < n_; ++i) (*this)[i].~T();
      if (storage_) pool_.release(storage_);
    }
    List(const List&) = delete;
    List& operator=(const List&) = delete;
    explicit operator bool() const { return storage_ != nullptr; }
    T& operator[](int i) { return static_cast<T*>(storage_->data)[i]; }

   private:
    StoragePool& pool_;
    int n_;
    Storage* storage_;
  };
  // Names the tensors of a call while it runs, and lets go the programs that it held up.
  struct Using {
    Engine& engine;
    Using(Engine& e, const double* handles, int count) : engine(e) {
      e.used_ = handles;
      e.n_used_ = count;
    }
    ~Using() {
      engine.n_used_ = 0;
      while (engine.n_paused_ > 0) engine.paused_[--engine.n_paused_]->resume();
    }
  };
  template <int kBlock>
  static void* scratch(void* owner, size_t bytes);
  Storage* obtain(size_t bytes);
  void drop_scratch();
  Status execute(Op op, const TensorView* views, Tensor* const* inputs, int count,
                 const double* attrs, int n_attrs, uint32_t* out);
  Status not_recorded(const char* what);
  Status wait_for(const char* what, ProgramLock* program);
  Status collect(const char* what, const double* handles, int count, Recorded* tensors);
  Status collect_item(const char* what, const double* handles, int states, Recorded* tensors);
  Status make_item(const Recorded* tensors, int states, OptimizerItem* item, Scratch* copy);
  Status sharable(const char* what, const Tensor& tensor);
  void move(Storage* from, Storage* to);
  Status materialise(const TensorView& source, const TensorView& layout, Scratch* copy);

  const Backend& backend_;
  Error error_;
  StoragePool pool_;
  TensorTable table_;
  ThreadPool threads_;
  Storage* scratch_[2] = {};  // of a kernel; of the float32 copies that it is given
  const double* used_ = nullptr;
  int n_used_ = 0;
  Recorder* recorder_ = nullptr;
  // Programs that the call under way reads from. A call that meets more of them fails.
  static constexpr int kMaxPaused = 16;
  ProgramLock* paused_[kMaxPaused] = {};
  int n_paused_ = 0;
  ExecContext context_;
};

}  // namespace tg
