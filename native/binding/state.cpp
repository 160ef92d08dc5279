#include <string>

#include "../core/optimizer.h"
#include "../cpu/backend.h"
#include "functions.h"

namespace tg::binding {

namespace {

// The device that argument i names, opened; null if an exception is pending.
DeviceState* device_of(const Arguments& args, size_t i) {
  Environment& self = Environment::of(args.env);
  int64_t device;
  if (!args.integer(i, 0, kDevices - 1, &device)) return nullptr;
  const uint8_t id = static_cast<uint8_t>(device);
  DeviceState* state;
  // What a device held can be told after it has failed, too.
  const Status status = self.engine().opened(id) ? Status::ok : self.engine().ready(id, &state);
  if (status == Status::ok) return &self.engine().device_state(id);
  self.raise(args.env, status);
  return nullptr;
}

void set_number(napi_env env, napi_value object, const char* name, double value) {
  napi_set_named_property(env, object, name, make_number(env, value));
}
void set_string(napi_env env, napi_value object, const char* name, const char* value) {
  napi_set_named_property(env, object, name, make_string(env, value));
}

}  // namespace

napi_value memory(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  DeviceState* state = device_of(args, 0);
  if (!state) return nullptr;
  const StoragePool& pool = state->pool;
  napi_value result;
  napi_create_object(env, &result);
  set_number(env, result, "tensors", Environment::of(env).engine().live_tensors(state->id));
  set_number(env, result, "bytes", static_cast<double>(pool.live_bytes() - state->scratch_bytes()));
  set_number(env, result, "peakBytes", static_cast<double>(pool.peak_bytes()));
  set_number(env, result, "limit", static_cast<double>(pool.limit()));
  set_number(env, result, "cachedBytes",
             static_cast<double>(pool.cached_bytes() + state->scratch_bytes()));
  set_number(env, result, "systemAllocations", static_cast<double>(pool.system_allocations()));
  return result;
}

napi_value set_memory_limit(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  int64_t bytes;
  if (!args.integer(0, 0, int64_t{1} << 53, &bytes)) return nullptr;
  DeviceState* state = device_of(args, 1);
  if (!state) return nullptr;
  state->pool.set_limit(static_cast<size_t>(bytes));
  return undefined(env);
}

napi_value reset_peak(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  DeviceState* state = device_of(args, 0);
  if (!state) return nullptr;
  state->pool.reset_peak();
  return undefined(env);
}

napi_value set_threads(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  int64_t count;
  if (!args.integer(0, 1, ThreadPool::kMaxThreads, &count)) return nullptr;
  Environment& self = Environment::of(env);
  const Programs::Pause pause(self.programs());
  self.engine().threads().resize(static_cast<int>(count));
  return undefined(env);
}

napi_value state(napi_env env, napi_callback_info) {
  Environment& self = Environment::of(env);
  char isas[cpu::kIsaText];
  napi_value result;
  napi_create_object(env, &result);
  set_string(env, result, "isa", self.isa());
  set_string(env, result, "isas", cpu::available_isas(isas));
  set_number(env, result, "threads", self.engine().threads().size());
  return result;
}

napi_value trace(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  DeviceState* state = device_of(args, 0);
  if (!state) return nullptr;
  const ExecContext::Trace& last = state->context.trace;
  napi_value result;
  napi_create_object(env, &result);
  set_string(env, result, "isa", last.isa);
  set_string(env, result, "kernel", last.kernel);
  set_string(env, result, "dtype", last.dtype);
  set_string(env, result, "variant", last.variant);
  return result;
}

napi_value counters(napi_env env, napi_callback_info) {
  Engine& engine = Environment::of(env).engine();
  ExecContext::Counters counters = {};
  for (uint8_t device = 0; device < kDevices; ++device) {
    if (!engine.opened(device)) continue;
    const ExecContext::Counters& its = engine.device_state(device).context.counters;
    counters.kernels += its.kernels;
    counters.tensors += its.tensors;
    counters.scratch_bytes += its.scratch_bytes;
  }
  napi_value result;
  napi_create_object(env, &result);
  set_number(env, result, "kernels", static_cast<double>(counters.kernels));
  set_number(env, result, "tensors", static_cast<double>(counters.tensors));
  set_number(env, result, "scratchBytes", static_cast<double>(counters.scratch_bytes));
  return result;
}

napi_value schema(napi_env env, napi_callback_info) {
  std::string json = "{\"dtypes\":[";
  for (int i = 0; i < kDTypes; ++i)
    json += std::string(i ? "," : "") + "\"" + kDTypeNames[i] + "\"";
  json += "],\"ops\":[";
  bool first = true;
  // Fields are printed as they stand in the schema: none holds a quote or a backslash.
  auto op = [&](const char* kind, const char* name, int code,
                std::initializer_list<const char*> fields) {
    json += std::string(first ? "" : ",") + "\n{\"kind\":\"" + kind + "\",\"name\":\"" + name +
            "\",\"code\":" + std::to_string(code);
    first = false;
    for (auto at = fields.begin(); at != fields.end(); at += 2)
      json += std::string(",\"") + at[0] + "\":\"" + at[1] + "\"";
    json += "}";
  };
  auto rule = [&](int dx, int dy) {
    json.pop_back();
    json += ",\"dxCode\":" + std::to_string(dx) +
            (dy < 0 ? "" : ",\"dyCode\":" + std::to_string(dy)) + "}";
  };
#define TG_UNARY(name, types, keeps, forward, dx, attrs, doc)                                  \
  op("unary", #name, op_##name,                                                                \
     {"types", #types, "keeps", #keeps, "forward", #forward, "dx", #dx, "attrs", attrs, "doc", \
      doc});                                                                                   \
  rule(op_##name##_dx, -1);
#define TG_BINARY_AS(kind, name, types, keeps, forward, dx, dy, attrs, doc)                        \
  op(kind, #name, op_##name,                                                                       \
     {"types", #types, "keeps", #keeps, "forward", #forward, "dx", #dx, "dy", #dy, "attrs", attrs, \
      "doc", doc});                                                                                \
  rule(op_##name##_dx, op_##name##_dy);
#define TG_BINARY(name, types, keeps, forward, dx, dy, attrs, doc) \
  TG_BINARY_AS("binary", name, types, keeps, forward, dx, dy, attrs, doc)
#define TG_LOSS(name, keeps, forward, dx, dy, attrs, doc) \
  TG_BINARY_AS("loss", name, FLOAT, keeps, forward, dx, dy, attrs, doc)
#define TG_COMPARE(name, forward, doc) \
  op("compare", #name, op_##name, {"forward", #forward, "doc", doc});
#define TG_REDUCE(name, types, result, attrs, doc) \
  op("reduce", #name, op_##name, {"types", #types, "result", #result, "attrs", attrs, "doc", doc});
#define TG_OP(name, inputs, attrs, doc) \
  op("op", #name, op_##name, {"inputs", inputs, "attrs", attrs, "doc", doc});
#define TG_INTERNAL(name, inputs, attrs, doc) \
  op("internal", #name, op_##name, {"inputs", inputs, "attrs", attrs, "doc", doc});
#include "../schema/ops.h"
  json += "],\"optimizers\":[";
  for (int i = 0; i < kOptimizers; ++i) {
    const OptimizerInfo& o = kOptimizerInfo[i];
    json += std::string(i ? "," : "") + "\n{\"name\":\"" + o.name +
            "\",\"code\":" + std::to_string(i) + ",\"states\":" + std::to_string(o.states) +
            ",\"numbers\":\"" + o.number_names + "\",\"source\":\"" + o.source + "\"}";
  }
  json += "]}";
  return make_string(env, json.c_str());
}

}  // namespace tg::binding
