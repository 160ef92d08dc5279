// The module: one Environment per Node.js environment, and its functions.
#include <cstdlib>
#include <new>

#include "../cpu/backend.h"
#include "functions.h"

namespace tg::binding {

namespace {

struct Export {
  const char* name;
  napi_callback function;
};
constexpr Export kExports[] = {
    {"run", run},
    {"generate", generate},
    {"runList", run_list},
    {"optimize", optimize},
    {"gradientNorm", gradient_norm},
    {"scale", scale},
    {"clipNorm", clip_norm},
    {"clip", clip},
    {"assign", assign},
    {"accumulate", accumulate},
    {"fromData", from_data},
    {"toDevice", to_device},
    {"moveTo", move_to},
    {"deviceOf", device_of},
    {"zerosLike", zeros_like},
    {"cloneAll", clone_all},
    {"read", read},
    {"describe", describe},
    {"share", share},
    {"attach", attach},
    {"dispose", dispose},
    {"alive", alive},
    {"sweep", sweep},
    {"openDevice", open_device},
    {"diagnose", diagnose},
    {"synchronize", synchronize},
    {"setTf32", set_tf32},
    {"readsListen", reads_listen},
    {"readLater", read_later},
    {"readTake", read_take},
    {"programsListen", programs_listen},
    {"traceBegin", trace_begin},
    {"traceInput", trace_input},
    {"traceNumber", trace_number},
    {"tracePause", trace_pause},
    {"traceEnd", trace_end},
    {"programRun", program_run},
    {"programCollect", program_collect},
    {"programOutput", program_output},
    {"programAbort", program_abort},
    {"programDispose", program_dispose},
    {"programDescribe", program_describe},
    {"programFacts", program_facts},
    {"memory", memory},
    {"setMemoryLimit", set_memory_limit},
    {"resetPeak", reset_peak},
    {"setThreads", set_threads},
    {"state", state},
    {"trace", trace},
    {"counters", counters},
    {"schema", schema},
};

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  Error error;
  const Backend* backend;
  const char* isa;
  const char* wanted = std::getenv("TAPEGRAD_ISA");
  if (cpu::choose_backend(wanted && *wanted ? wanted : nullptr, &error, &backend, &isa) !=
      Status::ok) {
    Napi::RangeError::New(env, error.message()).ThrowAsJavaScriptException();
    return exports;
  }
  Environment* self = new (std::nothrow) Environment(env, *backend, isa);
  if (!self) {
    Napi::Error::New(env, "tapegrad: no memory").ThrowAsJavaScriptException();
    return exports;
  }
  env.SetInstanceData(self);
  exports.Set("mailbox", self->mailbox_array());
  for (const Export& e : kExports) {
    napi_value function;
    napi_create_function(env, e.name, NAPI_AUTO_LENGTH, e.function, nullptr, &function);
    napi_set_named_property(env, exports, e.name, function);
  }
  return exports;
}

NODE_API_MODULE(tapegrad, init)

}  // namespace tg::binding
