// What the engine hands its calls to while a function is being compiled, instead of running them;
// and what a running program offers those who want to read what it writes. Both are implemented by
// native/program.
#pragma once

#include "op.h"
#include "optimizer.h"
#include "status.h"

namespace tg {

struct Storage;

// A tensor in a recorded call: memory, and a view whose `data` is the address of the first element
// (in symbolic storage, an offset in bytes). Null storage: a number, data points at its value.
struct Recorded {
  Storage* storage;
  TensorView view;
};

class Recorder {
 public:
  explicit Recorder(uint8_t on) : device(on) {}
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  const uint8_t device;  // where what is recorded will run: all its tensors are there
  // An op; the result's storage is symbolic and belongs to the recorder.
  virtual Status op(const OpCall& call, const Recorded* in, Storage** result) = 0;
  // Calls that write to existing tensors. `items`: parameter, gradient, states for each.
  virtual Status optimize(int rule, const Recorded* items, int count) = 0;
  virtual Status accumulate(const Recorded& to, const Recorded& from) = 0;
  virtual Status assign(const Recorded& to, const Recorded& from) = 0;
  virtual Status clip_value(const Recorded* tensors, int count, double limit) = 0;
  virtual Status clip_norm(const Recorded* tensors, int count, double limit, bool finite) = 0;

 protected:
  ~Recorder() = default;
};

// A running program, as the JavaScript thread sees it.
class ProgramLock {
 public:
  // Waits for the step under way to end and holds the program there until as many calls of resume.
  virtual void pause() = 0;
  virtual void resume() = 0;

 protected:
  ~ProgramLock() = default;
};

}  // namespace tg
