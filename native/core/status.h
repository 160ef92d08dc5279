// What a native function says instead of throwing: a kind, and a message for people. The binding
// turns the kind into a TypeError, a RangeError or an Error with a code. No N-API here.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace tg {

enum class Status : uint8_t {
  ok,
  type_error,     // an argument of the wrong kind
  range_error,    // a value, shape or size that cannot be
  disposed,       // TG_DISPOSED: a handle whose memory is gone
  out_of_memory,  // TG_OUT_OF_MEMORY: over the byte budget, or the system refused
  busy,           // TG_BUSY: a running program uses it
  tracing,        // TG_TRACE: a value was asked for that a function being compiled does not have
  nonfinite,      // TG_NAN: a loss that is NaN or infinite
  device,         // TG_DEVICE: no such device, or it failed
  internal,       // TG_INTERNAL: a fault of tapegrad itself
};

// The code that JavaScript sees.
constexpr const char* code_of(Status status) {
  switch (status) {
    case Status::ok:
      return "";
    case Status::type_error:
      return "TG_TYPE";
    case Status::range_error:
      return "TG_RANGE";
    case Status::disposed:
      return "TG_DISPOSED";
    case Status::out_of_memory:
      return "TG_OUT_OF_MEMORY";
    case Status::busy:
      return "TG_BUSY";
    case Status::tracing:
      return "TG_TRACE";
    case Status::nonfinite:
      return "TG_NAN";
    case Status::device:
      return "TG_DEVICE";
    case Status::internal:
      break;
  }
  return "TG_INTERNAL";
}

// Holds the message of the newest failure. One per environment; never allocates.
class Error {
 public:
  // Formats the message (cut at its capacity) and returns `status`, so that callers `return
  // error.set(…)`.
  __attribute__((format(printf, 3, 4))) Status set(Status status, const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::vsnprintf(message_, sizeof message_, format, args);
    va_end(args);
    return status;
  }
  const char* message() const { return message_; }

 private:
  char message_[768] = "";
};

}  // namespace tg

// Leaves the calling function with the status of a step that failed.
#define TG_TRY(step)                                     \
  do {                                                   \
    const ::tg::Status tg_status = (step);               \
    if (tg_status != ::tg::Status::ok) return tg_status; \
  } while (0)
