// One environment's tensors, threads and devices, the CPU always, others from their first use on.
// The binding is a thin skin over this class, and native tests use it without Node. Not
// thread-safe: it lives on its JavaScript thread.
#pragma once

#include <memory>
#include <new>

#include "device_loader.h"
#include "device_state.h"
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

  // Runs op on the tensors behind `handles`, all of one device, and puts the result into the table.
  // Where bit i of `scalars` is set, handles[i] is no handle but a number, of the dtype of the
  // first tensor among the inputs (after a condition).
  Status run(Op op, const double* handles, int count, uint32_t scalars, const double* attrs,
             int n_attrs, uint32_t* out);
  // As run, with a list of any length (concat).
  Status run_list(Op op, const double* handles, int count, const double* attrs, int n_attrs,
                  uint32_t* out);
  // Runs an op without inputs on a device.
  Status generate(Op op, uint8_t device, const double* attrs, int n_attrs, uint32_t* out);
  // A new contiguous tensor whose memory the caller fills before anything else happens.
  Status create(DType dtype, const Shape& shape, uint32_t* out) {
    return create(kCpu, dtype, shape, out);
  }
  Status create(uint8_t device, DType dtype, const Shape& shape, uint32_t* out);
  // Fills a tensor that `create` made; `bytes` are its bytes.
  Status fill(uint32_t slot, const void* data, size_t bytes);
  // Zeros with the shape, dtype and memory order of another tensor.
  Status zeros_like(double handle, uint32_t* out);
  // Row-major copies of several tensors into out[0 … count), all or none. What running programs
  // write is copied between two of their steps: all of a program's tensors between the same two.
  Status clone_all(const double* handles, int count, uint32_t* out);
  // Row-major copy into `to` as elements of another dtype; `bytes` must be exactly the room that
  // takes.
  Status read(double handle, DType as, void* to, size_t bytes);
  // As read, without waiting, for a tensor that is not on the CPU: `done` is called once, on
  // another thread, when the elements are in `later->buffer`. Whatever becomes of the tensor
  // meanwhile. The buffer goes back through done_reading; take_read tells of earlier calls' faults.
  struct Later {
    Storage* buffer = nullptr;
    size_t bytes = 0;
    uint64_t mark = 0;  // see DeviceFaults
  };
  Status read_later(double handle, DType as, Later* later, void (*done)(void* arg, bool filled),
                    void* arg);
  Status take_read(const Later& later, void* to);
  void done_reading(const Later& later);
  // A copy on a device, in the same memory order if that has no gaps.
  Status to(double handle, uint8_t device, uint32_t* out);
  // Moves the memory behind a tensor, its views included, to a device.
  Status move_to(double handle, uint8_t device);
  // Overwrites the elements of `handle` with those of `source`, on whichever device; same shape and
  // dtype.
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

  // Whether float32 products may be computed in tf32 from now on: see ExecContext. A program keeps
  // what it found when it was made.
  bool tf32() const { return cpu_.context.tf32; }
  void set_tf32(bool on) {
    cpu_.context.tf32 = on;
    if (cuda_) cuda_->context.tf32 = on;
  }

  // Devices. `ready` opens one that has not been used yet; Status::device if there is none, or it
  // failed earlier.
  Status ready(uint8_t device, DeviceState** state);
  // The device that a tensor's memory is on; open, since the tensor exists, but it may have failed.
  DeviceState& device_state(uint8_t device) { return *states_[device]; }
  bool opened(uint8_t device) const { return states_[device] != nullptr; }
  DeviceLoader& loader() { return loader_; }
  // Waits for what was asked of a device; ok if it was never opened.
  Status finish(uint8_t device);
  // The same, and the error of a call that found something wrong with its operands' numbers. So is
  // it with whatever hands numbers from a device to JavaScript.
  Status settle(uint8_t device);
  // Hands on what a call of a device's functions returned. After an error of the device it finds
  // out whether that can go on.
  Status checked(DeviceState& state, Status status);
  // Copies a block within a device or between two of them.
  Status transfer(DeviceState& target, void* to, DeviceState& source, const void* from,
                  size_t bytes);

  // Memory with one user, or null. Not while a kernel runs: near the limit, scratch that only waits
  // for the next one is given up.
  Storage* allocate(size_t bytes) { return allocate(cpu_, bytes); }
  Storage* allocate(DeviceState& state, size_t bytes);
  // As allocate, while a kernel runs.
  Storage* obtain(DeviceState& state, size_t bytes);
  // One user of a device's memory less.
  void release(Storage* storage) { states_[storage->device]->pool.release(storage); }
  Status out_of_memory(const char* what, size_t bytes) { return out_of_memory(cpu_, what, bytes); }
  Status out_of_memory(DeviceState& state, const char* what, size_t bytes);
  uint32_t live_tensors(uint8_t device) const;
  // Bytes of live tensors on all devices.
  size_t live_bytes() const {
    return cpu_.pool.live_bytes() + (cuda_ ? cuda_->pool.live_bytes() : 0);
  }
  // A tensor over storage that the caller made or retained; takes over that use.
  Status add(Storage* storage, const TensorView& view, uint32_t* out);
  // A tensor for writing: TG_BUSY if a running program uses its memory.
  Status find_writable(const char* what, double handle, Tensor** tensor);

  // Whether the call under way uses this tensor. Relief must spare it: JavaScript may have dropped
  // the object already, but a kernel is about to read the memory.
  bool in_use(uint32_t slot) const;

  // The CPU's.
  StoragePool& pool() { return cpu_.pool; }
  ExecContext& context() { return cpu_.context; }
  const Backend& backend() const { return cpu_.backend; }

  TensorTable& table() { return table_; }
  ThreadPool& threads() { return threads_; }
  Error& error() { return error_; }

  // Called when an allocation that the limit admits failed; returns true if memory was freed and
  // another try makes sense.
  struct Relief {
    bool (*free_some)(void* arg) = nullptr;
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
  static constexpr int kMaxInputs = 6;
  // Zeroed room for n things from the pool, given back at the end of the block.
  template <class T>
  class List {
   public:
    List(Engine& engine, int n)
        : pool_(engine.pool()),
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
      if (engine.n_paused_ > 0) engine.resume_paused();
    }
  };
  Status execute(DeviceState& state, Op op, const TensorView* views, Tensor* const* inputs,
                 int count, const double* attrs, int n_attrs, uint32_t* out);
  Status open(uint8_t device);
  // The one device of tensors; the CPU of none.
  Status common_device(const char* what, Tensor* const* inputs, int count, DeviceState** state);
  Status common_device(const char* what, const Recorded* tensors, int count, DeviceState** state);
  Status mixed(const char* what);
  Status packed(DeviceState& state, const TensorView& view, DType as, Scratch* copy,
                const void** data);
  Status not_recorded(const char* what);
  Status elsewhere(const char* what, uint8_t device);
  Status wait_for(const char* what, ProgramLock* program);
  void resume_paused();
  Status collect(const char* what, const double* handles, int count, Recorded* tensors);
  Status collect_item(const char* what, const double* handles, int states, Recorded* tensors);
  Status make_item(DeviceState& state, const Recorded* tensors, int states, OptimizerItem* item,
                   Scratch* copy);
  Status sharable(const char* what, const Tensor& tensor);
  void move(Storage* from, Storage* to);
  Status materialise(DeviceState& state, const TensorView& source, const TensorView& layout,
                     Scratch* copy);

  Error error_;
  TensorTable table_;
  ThreadPool threads_;
  DeviceLoader loader_;
  DeviceState cpu_;
  std::unique_ptr<DeviceState> cuda_;
  DeviceState* states_[kDevices] = {&cpu_};
  const double* used_ = nullptr;
  int n_used_ = 0;
  Recorder* recorder_ = nullptr;
  // Programs that the call under way reads from. A call that meets more of them fails.
  static constexpr int kMaxPaused = 16;
  ProgramLock* paused_[kMaxPaused] = {};
  int n_paused_ = 0;
};

}  // namespace tg
