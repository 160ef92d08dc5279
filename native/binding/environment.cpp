#include "environment.h"

#include "functions.h"

namespace tg::binding {

namespace {
// V8 hears of changes in steps of this size: telling it costs as much as a small op.
constexpr int64_t kReportSlack = 256 << 10;
// What a tensor costs beside its elements, rounded up: a program that drops many small ones would
// else hold half a million before V8 sees a reason to collect.
constexpr int64_t kTensorBytes = 1024;
// A sweep looks at every live tensor, so it waits for this many ops or bytes, and for a quarter as
// many ops as there are tensors.
constexpr uint32_t kSweepOps = 4096;
constexpr size_t kSweepBytes = size_t{32} << 20;
// Enough reported pressure to make V8 collect at once.
constexpr int64_t kPressure = int64_t{1} << 36;

size_t default_limit() {
  const size_t memory = system_memory();
  return memory / 4 * 3;
}
}  // namespace

Environment::Environment(Napi::Env env, const Backend& backend, const char* isa)
    : env_(env),
      engine_(backend, default_limit(), default_threads()),
      programs_(engine_),
      reads_(engine_),
      isa_(isa) {
  // A fixed few hundred bytes: nothing a user can make large.
  Napi::Float64Array array = Napi::Float64Array::New(env, Mailbox::kLength);
  mailbox_ = array.Data();
  for (int i = 0; i < Mailbox::kLength; ++i) mailbox_[i] = 0;
  mailbox_array_ = Napi::Persistent(array.As<Napi::Value>());
  mailbox_array_.SuppressDestruct();
  engine_.relief = {relieve, this};
  engine_.loader().find = add_libraries;
}

// Runs as the finalizer of the instance data, when Node's environment ends: references are still
// valid then, and nobody else frees those that are left.
Environment::~Environment() {
  TensorTable& table = engine_.table();
  for (uint32_t slot = 0; slot < table.slots(); ++slot) {
    const Tensor& tensor = table.at(slot);
    if (tensor.storage && tensor.owner)
      napi_delete_reference(env_, static_cast<napi_ref>(tensor.owner));
  }
  if (sentinel_) napi_delete_reference(env_, sentinel_);
  napi_delete_reference(env_, mailbox_array_);
}

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::describe(const TensorView& view, bool is_view) {
  mailbox_[Mailbox::kDType] = static_cast<double>(view.dtype);
  mailbox_[Mailbox::kDims] = view.shape.ndim;
  mailbox_[Mailbox::kIsView] = is_view;
  for (int i = 0; i < view.shape.ndim; ++i) {
    mailbox_[Mailbox::kShape + i] = static_cast<double>(view.shape[i]);
    mailbox_[Mailbox::kStrides + i] = static_cast<double>(view.strides[i]);
  }
}

napi_value Environment::publish(napi_env env, uint32_t slot, napi_value owner, bool is_view) {
  napi_ref reference;
  if (napi_create_reference(env, owner, 0, &reference) != napi_ok) {
    engine_.release(slot);
    napi_throw_type_error(env, "TG_TYPE", "a tensor needs an object to belong to");
    return nullptr;
  }
  Tensor& tensor = engine_.table().at(slot);
  tensor.owner = reference;
  describe(tensor.view, is_view);
  report_memory(env, kReportSlack);
  napi_value handle;
  napi_create_double(env, engine_.table().handle_of(slot), &handle);
  return handle;
}

bool Environment::dispose(napi_env env, double handle) {
  Tensor* tensor = engine_.table().find(handle);
  if (!tensor) return false;
  if (tensor->owner) napi_delete_reference(env, static_cast<napi_ref>(tensor->owner));
  engine_.release(static_cast<uint32_t>(static_cast<uint64_t>(handle) & 0xFFFFFF));
  report_memory(env, kReportSlack);
  return true;
}

uint32_t Environment::sweep(napi_env env) {
  TensorTable& table = engine_.table();
  uint32_t freed = 0;
  for (uint32_t slot = 0; slot < table.slots(); ++slot) {
    Tensor& tensor = table.at(slot);
    if (!tensor.storage || !tensor.owner) continue;
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value owner = nullptr;
    const bool asked =
        napi_get_reference_value(env, static_cast<napi_ref>(tensor.owner), &owner) == napi_ok;
    napi_close_handle_scope(env, scope);
    if (!asked || owner || engine_.in_use(slot)) continue;
    napi_delete_reference(env, static_cast<napi_ref>(tensor.owner));
    engine_.release(slot);
    ++freed;
  }
  runs_since_sweep_ = 0;
  bytes_at_sweep_ = engine_.live_bytes();
  report_memory(env, kReportSlack);
  return freed;
}

void Environment::drop_symbolic(napi_env env) {
  TensorTable& table = engine_.table();
  for (uint32_t slot = 0; slot < table.slots(); ++slot)
    if (table.at(slot).storage && table.at(slot).storage->symbolic)
      dispose(env, table.handle_of(slot));
}

// Whether a garbage collection ran since the last time this said so: then a fresh, unreferenced
// object is gone.
bool Environment::collected_since(napi_env env) {
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value value = nullptr;
  if (sentinel_) napi_get_reference_value(env, sentinel_, &value);
  const bool collected = !value;
  if (collected) {
    if (sentinel_) napi_delete_reference(env, sentinel_);
    sentinel_ = nullptr;
    if (napi_create_object(env, &value) == napi_ok)
      napi_create_reference(env, value, 0, &sentinel_);
  }
  napi_close_handle_scope(env, scope);
  return collected;
}

void Environment::before_allocation(napi_env env) {
  const uint32_t live = engine_.table().live();
  const bool many = ++runs_since_sweep_ >= (live / 4 > kSweepOps ? live / 4 : kSweepOps);
  const bool much = engine_.live_bytes() > bytes_at_sweep_ + kSweepBytes;
  if (!many && !much) return;
  if (collected_since(env)) {
    sweep(env);
  } else {
    runs_since_sweep_ = 0;
    bytes_at_sweep_ = engine_.live_bytes();
  }
}

void Environment::report_memory(napi_env env, int64_t slack) {
  const int64_t held =
      static_cast<int64_t>(engine_.live_bytes()) + engine_.table().live() * kTensorBytes;
  const int64_t change = held - reported_bytes_;
  if (change < slack && change > -slack) return;
  int64_t total;
  napi_adjust_external_memory(env, change, &total);
  reported_bytes_ += change;
}

// The budget is used up: let V8 collect what nobody references, and free the tensors behind it.
bool Environment::relieve(void* arg) {
  Environment& self = *static_cast<Environment*>(arg);
  int64_t total;
  napi_adjust_external_memory(self.env_, kPressure, &total);
  napi_adjust_external_memory(self.env_, -kPressure, &total);
  self.collected_since(self.env_);
  return self.sweep(self.env_) > 0;
}

napi_value Environment::raise(napi_env env, Status status) {
  const char* message = engine_.error().message();
  const auto raise = status == Status::type_error    ? napi_throw_type_error
                     : status == Status::range_error ? napi_throw_range_error
                                                     : napi_throw_error;
  raise(env, code_of(status), message);
  return nullptr;
}

}  // namespace tg::binding
