// What JavaScript calls to record, run and look at compiled functions.
#include <utility>

#include "functions.h"

namespace tg::binding {

using program::Graph;
using program::Job;
using program::OnNaN;
using program::Outcome;
using program::Program;
using program::Runner;

namespace {

Runner* runner_of(const Arguments& args) {
  int64_t id;
  if (!args.integer(0, 0, int64_t{1} << 40, &id)) return nullptr;
  Runner* runner = Environment::of(args.env).programs().find(id);
  if (!runner) napi_throw_error(args.env, "TG_DISPOSED", "this compiled function was disposed of");
  return runner;
}

bool idle(const Arguments& args, Runner* runner) {
  if (!runner->running()) return true;
  napi_throw_error(args.env, "TG_BUSY", "this compiled function is running: await it first");
  return false;
}

// Copies a tensor into input i of a program that is not running.
Status fill(Engine& engine, Program& to, size_t i, double handle) {
  Tensor* tensor;
  TG_TRY(engine.find("a compiled function", handle, &tensor));
  TensorView view = to.graph().inputs[i].view;
  if (tensor->view.dtype != view.dtype || tensor->view.shape != view.shape) {
    char s[kShapeText], t[kShapeText];
    return engine.error().set(Status::range_error,
                              "a compiled function: input %zu must be %s %s, got %s %s", i,
                              name_of(view.dtype), print(view.shape, s),
                              name_of(tensor->view.dtype), print(tensor->view.shape, t));
  }
  return to.fill(i, handle);
}

// A tensor [n, …] whose rows fit input i.
Status source(Engine& engine, const Program& to, size_t i, double handle, Job* job, int64_t* rows) {
  Tensor* tensor;
  TG_TRY(engine.find("a compiled function", handle, &tensor));
  const TensorView &view = tensor->view, &input = to.graph().inputs[i].view;
  bool fits = view.dtype == input.dtype && view.shape.ndim == input.shape.ndim &&
              input.shape.ndim > 0 && view.contiguous();
  for (int d = 1; fits && d < input.shape.ndim; ++d) fits = view.shape[d] == input.shape[d];
  if (!fits) {
    char s[kShapeText], t[kShapeText];
    return engine.error().set(
        Status::range_error,
        "a compiled function: data %zu must be contiguous %s with rows as in %s, got %s %s", i,
        name_of(input.dtype), print(input.shape, s), name_of(view.dtype), print(view.shape, t));
  }
  const uint8_t device = tensor->storage->device;
  if (device != kCpu && device != to.device())
    return engine.error().set(Status::type_error,
                              "a compiled function: data %zu is on %s, but the function runs on %s",
                              i, kDeviceNames[device], kDeviceNames[to.device()]);
  *rows = view.shape[0];
  StoragePool::retain(tensor->storage);
  job->data.push_back({tensor->storage, static_cast<const char*>(view.data), *rows});
  return Status::ok;
}

// What programRun is told: bits of its second argument.
constexpr int64_t kAsync = 1, kNaNFails = 2, kNaNSkips = 4, kNorm = 8, kGather = 16;
constexpr int64_t kMaxSteps = 1 << 20;

Status fill_job(Engine& engine, Program& to, const double* handles, size_t count,
                const int32_t* order, size_t order_length, bool gather, Job* job) {
  const std::vector<program::Operand>& inputs = to.graph().inputs;
  if (count != inputs.size())
    return engine.error().set(Status::type_error, "a compiled function takes %zu tensors, got %zu",
                              inputs.size(), count);
  for (size_t i = 0; i < count; ++i) {
    if (!gather) {
      TG_TRY(fill(engine, to, i, handles[i]));
      continue;
    }
    int64_t rows = 0;
    TG_TRY(source(engine, to, i, handles[i], job, &rows));
    const int64_t batch = inputs[i].view.shape[0];
    if (batch * job->steps > static_cast<int64_t>(order_length))
      return engine.error().set(Status::range_error,
                                "a compiled function: %lld rows are needed and %zu are named",
                                static_cast<long long>(batch * job->steps), order_length);
    for (int64_t k = 0; k < batch * job->steps; ++k)
      if (order[k] < 0 || order[k] >= rows)
        return engine.error().set(Status::range_error,
                                  "a compiled function: row %d of %lld does not exist", order[k],
                                  static_cast<long long>(rows));
  }
  if (gather) job->order.assign(order, order + order_length);
  return Status::ok;
}

}  // namespace

napi_value programs_listen(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  napi_valuetype type;
  napi_typeof(env, args.value[0], &type);
  if (type != napi_function || !Environment::of(env).programs().listen(env, args.value[0])) {
    napi_throw_type_error(env, "TG_TYPE", "programsListen: needs a function");
    return nullptr;
  }
  return undefined(env);
}

napi_value trace_begin(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t seed, stream, device;
  if (!args.integer(0, 0, int64_t{1} << 53, &seed) ||
      !args.integer(1, 0, int64_t{1} << 53, &stream) || !args.integer(2, 0, kDevices - 1, &device))
    return nullptr;
  if (self.programs().recording()) {
    napi_throw_error(env, "TG_TRACE", "compile: another function is being compiled");
    return nullptr;
  }
  DeviceState* state;
  const Status status = self.engine().ready(static_cast<uint8_t>(device), &state);
  if (status != Status::ok) return self.raise(env, status);
  self.programs().begin(static_cast<uint8_t>(device), static_cast<uint64_t>(seed),
                        static_cast<uint64_t>(stream));
  return undefined(env);
}

// (owner); dtype and shape are in the mailbox: count, sizes, dtype.
napi_value trace_input(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* box = self.mailbox() + Mailbox::kAttrs;
  Shape shape;
  const double ndim = box[0];
  if (!self.programs().recording() || !(ndim >= 0 && ndim <= kMaxDims)) {
    napi_throw_error(env, "TG_TRACE", "compile: no function is being compiled");
    return nullptr;
  }
  for (int i = 0; i < static_cast<int>(ndim); ++i) {
    const double d = box[1 + i];
    shape.push(d >= 0 && d <= static_cast<double>(kMaxElements) ? static_cast<int64_t>(d) : -1);
  }
  const double dtype = box[1 + shape.ndim];
  if (!(dtype >= 0 && dtype < kDTypes)) {
    napi_throw_type_error(env, "TG_TYPE", "compile: no such dtype");
    return nullptr;
  }
  uint32_t slot = 0;
  const Status status = self.programs().recording()->add_input(
      static_cast<DType>(static_cast<int>(dtype)), shape, &slot);
  return status == Status::ok ? self.publish(env, slot, args.value[0], false)
                              : self.raise(env, status);
}

// (owner, dtype) -> handle of a number that each step gets from its row.
napi_value trace_number(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t dtype;
  if (!args.integer(1, 0, 1, &dtype)) return nullptr;
  if (!self.programs().recording()) {
    napi_throw_error(env, "TG_TRACE", "compile: no function is being compiled");
    return nullptr;
  }
  uint32_t slot = 0;
  const Status status = self.programs().recording()->add_number(static_cast<DType>(dtype), &slot);
  return status == Status::ok ? self.publish(env, slot, args.value[0], false)
                              : self.raise(env, status);
}

// (flag): while paused, calls are run as if nothing were being recorded.
napi_value trace_pause(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  int64_t paused;
  if (!args.integer(0, 0, 1, &paused)) return nullptr;
  self.engine().set_recorder(paused ? nullptr : self.programs().recording());
  return undefined(env);
}

// (handles of the outputs, or nothing to give up) -> number of the program, or -1.
napi_value trace_end(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  Engine& engine = self.engine();
  const double* handles = nullptr;
  size_t count = 0;
  const bool give_up = args.count == 0;
  if (!give_up && !args.doubles(0, &handles, &count)) return nullptr;
  if (!self.programs().recording()) {
    napi_throw_error(env, "TG_TRACE", "compile: no function is being compiled");
    return nullptr;
  }
  Status status = Status::ok;
  engine.set_recorder(self.programs().recording());
  for (size_t i = 0; i < count && status == Status::ok; ++i)
    status = self.programs().recording()->add_output(handles[i]);
  std::unique_ptr<Graph> graph = self.programs().end();
  self.drop_symbolic(env);
  graph->finish();
  if (give_up) return make_number(env, -1);
  if (status != Status::ok) return self.raise(env, status);
  int64_t id;
  status = self.programs().add(std::move(graph), &id);
  return status == Status::ok ? make_number(env, static_cast<double>(id)) : self.raise(env, status);
}

napi_value program_run(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  Engine& engine = self.engine();
  Runner* runner = runner_of(args);
  if (!runner || !idle(args, runner)) return nullptr;
  Program& to = runner->program();
  int64_t how, steps, seed, stream;
  const double *numbers, *handles;
  size_t n_numbers, count, order_length = 0, order_bytes;
  napi_typedarray_type type = napi_int32_array;
  void* order = nullptr;
  if (!args.integer(1, 0, 31, &how) || !args.integer(2, 0, kMaxSteps, &steps) ||
      !args.doubles(3, &numbers, &n_numbers) || !args.doubles(4, &handles, &count) ||
      !args.integer(6, 0, int64_t{1} << 53, &seed) ||
      !args.integer(7, 0, int64_t{1} << 53, &stream))
    return nullptr;
  if (how & kAsync && !self.programs().listening()) {
    napi_throw_error(env, "TG_INTERNAL", "a compiled function: nobody listens for its end");
    return nullptr;
  }
  const bool gather = how & kGather;
  if (gather &&
      (!args.bytes(5, &type, &order, &order_length, &order_bytes) || type != napi_int32_array)) {
    napi_throw_type_error(env, "TG_TYPE", "a compiled function: the order must be an Int32Array");
    return nullptr;
  }
  if (n_numbers != static_cast<size_t>(steps) * static_cast<size_t>(to.graph().row)) {
    napi_throw_range_error(env, "TG_RANGE", "a compiled function: a wrong number of numbers");
    return nullptr;
  }
  Job job;
  job.steps = steps;
  job.numbers.assign(numbers, numbers + n_numbers);
  job.seed = static_cast<uint64_t>(seed);
  job.stream = static_cast<uint64_t>(stream);
  job.on_nan = how & kNaNFails ? OnNaN::fail : how & kNaNSkips ? OnNaN::skip : OnNaN::ignore;
  job.want_norm = how & kNorm;
  Status status = fill_job(engine, to, handles, count, static_cast<const int32_t*>(order),
                           order_length, gather, &job);
  std::vector<program::Source> retained = job.data;
  if (status == Status::ok)
    status = how & kAsync ? runner->start(std::move(job)) : runner->run(std::move(job));
  if (status != Status::ok) {
    for (const program::Source& s : retained) engine.release(s.storage);
    return self.raise(env, status);
  }
  if (how & kAsync) self.programs().started(env);
  return undefined(env);
}

// (id, losses) -> {done, skipped, norm, code, message}; waits for the end.
napi_value program_collect(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  Runner* runner = runner_of(args);
  double* losses;
  size_t length;
  if (!runner || !args.room(1, &losses, &length)) return nullptr;
  const bool started = runner->started();
  const Outcome& outcome = runner->collect();
  if (started) self.programs().ended(env);
  for (size_t i = 0; i < length && i < outcome.losses.size(); ++i) losses[i] = outcome.losses[i];
  napi_value result;
  napi_create_object(env, &result);
  const auto set = [&](const char* name, napi_value value) {
    napi_set_named_property(env, result, name, value);
  };
  set("done", make_number(env, static_cast<double>(outcome.done)));
  set("skipped", make_number(env, static_cast<double>(outcome.skipped)));
  set("norm", make_number(env, outcome.norm));
  set("code", make_string(env, code_of(outcome.status)));
  set("message", make_string(env, outcome.message));
  return result;
}

// (id, i, owner) -> handle of a copy of output i.
napi_value program_output(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  Engine& engine = self.engine();
  Runner* runner = runner_of(args);
  int64_t i;
  if (!runner || !idle(args, runner) || !args.integer(1, 0, 1 << 20, &i)) return nullptr;
  Program& from = runner->program();
  if (i >= static_cast<int64_t>(from.graph().outputs.size())) {
    napi_throw_range_error(env, "TG_RANGE", "a compiled function has no such output");
    return nullptr;
  }
  const TensorView view = from.output(static_cast<size_t>(i));
  self.before_allocation(env);
  uint32_t slot = 0;
  Status status = engine.create(from.device(), view.dtype, view.shape, &slot);
  if (status != Status::ok) return self.raise(env, status);
  const OpCall call{op_clone, &view, 1, engine.table().at(slot).view, {}};
  DeviceState& state = engine.device_state(from.device());
  status = engine.checked(state, state.backend.run(&state.context, &call));
  if (status != Status::ok) {
    engine.release(slot);
    return self.raise(env, status);
  }
  return self.publish(env, slot, args.value[2], false);
}

napi_value program_abort(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Runner* runner = runner_of(args);
  if (!runner) return nullptr;
  runner->abort();
  return undefined(env);
}

napi_value program_dispose(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  int64_t id;
  if (!args.integer(0, 0, int64_t{1} << 40, &id)) return nullptr;
  Environment::of(env).programs().remove(env, id);
  return undefined(env);
}

// (id, recorded: 0 or 1) -> JSON
napi_value program_describe(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Runner* runner = runner_of(args);
  int64_t recorded;
  if (!runner || !args.integer(1, 0, 1, &recorded)) return nullptr;
  const Program& program = runner->program();
  return make_string(env, (recorded ? program.recorded() : program.prepared()).c_str());
}

// (id) -> {row, streams, arenaBytes, sumBytes, allocations, stalls}
napi_value program_facts(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Runner* runner = runner_of(args);
  if (!runner) return nullptr;
  const Program& program = runner->program();
  napi_value result;
  napi_create_object(env, &result);
  const auto set = [&](const char* name, double value) {
    napi_set_named_property(env, result, name, make_number(env, value));
  };
  set("row", program.graph().row);
  set("streams", static_cast<double>(program.graph().streams));
  set("arenaBytes", static_cast<double>(program.plan().bytes));
  set("sumBytes", static_cast<double>(program.plan().sum));
  set("allocations", static_cast<double>(program.allocations()));
  set("stalls", static_cast<double>(program.stalls()));
  return result;
}

}  // namespace tg::binding
