#include "device_faults.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "engine.h"

namespace tg {

namespace {

// The CUDA runtime's own variable, with which each launch waits in any case.
bool launches_block() {
  const char* const text = std::getenv("CUDA_LAUNCH_BLOCKING");
  return text && *text == '1';
}

}  // namespace

DeviceFaults::DeviceFaults(DeviceState& state) : state_(state), at_once_(launches_block()) {}

Status DeviceFaults::open() {
  if (record_) return Status::ok;
  const DeviceLibrary& library = *state_.library;
  Error& error = *state_.context.error;
  uint64_t* const record = static_cast<uint64_t*>(library.allocate(state_.device, kBytes));
  copy_ = static_cast<uint64_t*>(library.allocate_host(state_.device, kBytes));
  record_ = record;
  source_.reset(new (std::nothrow) FaultSource[kCalls]);
  Status status =
      record && copy_ && source_
          ? library.clear(state_.device, &error, record, kBytes)
          : error.set(Status::out_of_memory, "%s: no memory for %zu bytes", state_.name(), kBytes);
  if (status != Status::ok) {
    close();
    return state_.engine.checked(state_, status);
  }
  std::memset(copy_, 0, kBytes);
  state_.context.faults.any = reinterpret_cast<uint32_t*>(record_);
  return Status::ok;
}

void DeviceFaults::close() {
  state_.context.faults = {};
  if (record_) state_.library->release(state_.device, record_);
  if (copy_) state_.library->release_host(state_.device, copy_);
  record_ = copy_ = nullptr;
}

Status DeviceFaults::begin(const OpCall& call) {
  TG_TRY(open());
  if (next_ - first_ == kCalls) TG_TRY(settle());
  source_[next_ % kCalls] = FaultSource(call);
  state_.context.faults.call = word(record_, next_++);
  return Status::ok;
}

Status DeviceFaults::end(Status ran) {
  state_.context.faults.call = nullptr;
  return ran == Status::ok && at_once_ ? settle() : ran;
}

Status DeviceFaults::ask(uint32_t* flag) {
  if (first_ == next_) return Status::ok;
  return state_.engine.checked(
      state_, state_.library->fetch_later(state_.device, state_.context.error, flag, record_,
                                          sizeof *flag));
}

Status DeviceFaults::ask() { return ask(reinterpret_cast<uint32_t*>(copy_)); }

// Only if there is an error is there more to fetch.
Status DeviceFaults::answer() {
  if (first_ == next_) return Status::ok;
  if (*reinterpret_cast<const uint32_t*>(copy_) == 0) {
    first_ = next_;
    return Status::ok;
  }
  const DeviceLibrary& library = *state_.library;
  Error* const error = state_.context.error;
  Status status = library.download(state_.device, error, copy_, record_, kBytes);
  if (status == Status::ok) status = library.clear(state_.device, error, record_, kBytes);
  if (status != Status::ok) return state_.engine.checked(state_, status);
  const char* const ending =
      at_once_ ? ""
               : " (an earlier call on cuda; CUDA_LAUNCH_BLOCKING=1 has the call itself throw)";
  for (uint64_t call = first_; call < next_ && status == Status::ok; ++call)
    if (const uint64_t note = *word(copy_, call))
      status = source_[call % kCalls].describe(error, note, ending);
  std::memset(copy_, 0, kBytes);
  first_ = next_;
  return status;
}

Status DeviceFaults::answer(uint64_t mark, const uint32_t* flag) {
  if (mark <= first_) return Status::ok;  // somebody was told
  if (*flag != 0) return settle();
  first_ = mark;
  return Status::ok;
}

Status DeviceFaults::settle() {
  TG_TRY(ask());
  TG_TRY(state_.engine.finish(state_.id));
  return answer();
}

}  // namespace tg
