#include "functions.h"

namespace tg::binding {

namespace {

// Takes attributes and scalars out of the mailbox: the next call starts without any, whatever
// becomes of this one.
bool take_attrs(napi_env env, Environment& self, const double** attrs, int* count,
                uint32_t* scalars) {
  double* box = self.mailbox();
  const double n = box[Mailbox::kAttrCount], bits = box[Mailbox::kScalars];
  box[Mailbox::kAttrCount] = 0;
  box[Mailbox::kScalars] = 0;
  *scalars = bits >= 0 && bits <= 255 ? static_cast<uint32_t>(bits) : 0;
  if (!(n >= 0 && n <= Mailbox::kMaxAttrs)) {
    napi_throw_range_error(env, "TG_RANGE", "tapegrad: too many attributes");
    return false;
  }
  *attrs = box + Mailbox::kAttrs;
  *count = static_cast<int>(n);
  return true;
}

bool handles_of(const Arguments& args, size_t i, const double** handles, int* count) {
  size_t length;
  if (!args.doubles(i, handles, &length)) return false;
  if (length > (1u << 24)) {
    napi_throw_range_error(args.env, "TG_RANGE", "tapegrad: too many tensors in one call");
    return false;
  }
  *count = static_cast<int>(length);
  return true;
}

napi_value finish(napi_env env, Environment& self, Status status) {
  return status == Status::ok ? undefined(env) : self.raise(env, status);
}

napi_value published(napi_env env, Environment& self, Status status, uint32_t slot,
                     napi_value owner) {
  if (status != Status::ok) return self.raise(env, status);
  const Tensor& tensor = self.engine().table().at(slot);
  return self.publish(env, slot, owner, tensor.storage->viewed());
}

}  // namespace

napi_value run(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* attrs;
  int n_attrs;
  uint32_t scalars;
  int64_t op;
  if (!take_attrs(env, self, &attrs, &n_attrs, &scalars) || !args.integer(0, 0, kOps - 1, &op))
    return nullptr;
  double handles[Arguments::kMax];
  const int count = args.count > 3 ? static_cast<int>(args.count) - 3 : 0;
  for (int i = 0; i < count; ++i)
    if (!args.number(static_cast<size_t>(i) + 3, &handles[i])) return nullptr;
  self.before_allocation(env);
  uint32_t slot = 0;
  const Status status =
      self.engine().run(static_cast<Op>(op), handles, count, scalars, attrs, n_attrs, &slot);
  return published(env, self, status, slot, args.value[1]);
}

napi_value generate(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* attrs;
  int n_attrs;
  uint32_t scalars;
  int64_t op;
  double where;
  if (!take_attrs(env, self, &attrs, &n_attrs, &scalars) || !args.integer(0, 0, kOps - 1, &op) ||
      !args.number(2, &where))
    return nullptr;
  // Handles are larger than devices' numbers.
  const Tensor* like = self.engine().table().find(where);
  const double device = like ? like->storage->device : where;
  if (!(device >= 0 && device < kDevices)) {
    napi_throw_type_error(env, "TG_TYPE", "tapegrad: there is no such device");
    return nullptr;
  }
  self.before_allocation(env);
  uint32_t slot = 0;
  const Status status = self.engine().generate(static_cast<Op>(op), static_cast<uint8_t>(device),
                                               attrs, n_attrs, &slot);
  return published(env, self, status, slot, args.value[1]);
}

napi_value run_list(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double *attrs, *handles;
  int n_attrs, count;
  uint32_t scalars;
  int64_t op;
  if (!take_attrs(env, self, &attrs, &n_attrs, &scalars) || !args.integer(0, 0, kOps - 1, &op) ||
      !handles_of(args, 3, &handles, &count))
    return nullptr;
  self.before_allocation(env);
  uint32_t slot = 0;
  const Status status =
      self.engine().run_list(static_cast<Op>(op), handles, count, attrs, n_attrs, &slot);
  return published(env, self, status, slot, args.value[1]);
}

napi_value optimize(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double *handles, *numbers;
  int count;
  size_t n_numbers;
  int64_t rule;
  if (!args.integer(0, 0, 1 << 16, &rule) || !handles_of(args, 1, &handles, &count) ||
      !args.doubles(2, &numbers, &n_numbers))
    return nullptr;
  return finish(env, self,
                self.engine().optimize(static_cast<int>(rule), handles, count, numbers,
                                       static_cast<int>(n_numbers)));
}

napi_value gradient_norm(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* handles;
  int count;
  double norm = 0;
  if (!handles_of(args, 0, &handles, &count)) return nullptr;
  const Status status = self.engine().gradient_norm(handles, count, &norm);
  return status == Status::ok ? make_number(env, norm) : self.raise(env, status);
}

napi_value scale(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* handles;
  int count;
  double factor;
  if (!handles_of(args, 0, &handles, &count) || !args.number(1, &factor)) return nullptr;
  return finish(env, self, self.engine().scale(handles, count, factor));
}

napi_value clip_norm(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* handles;
  int count;
  int64_t finite;
  double limit, norm = 0;
  if (!handles_of(args, 0, &handles, &count) || !args.number(1, &limit) ||
      !args.integer(2, 0, 1, &finite))
    return nullptr;
  const Status status = self.engine().clip_norm(handles, count, limit, finite != 0, &norm);
  return status == Status::ok ? make_number(env, norm) : self.raise(env, status);
}

napi_value clip(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  const double* handles;
  int count;
  double limit;
  if (!handles_of(args, 0, &handles, &count) || !args.number(1, &limit)) return nullptr;
  return finish(env, self, self.engine().clip(handles, count, limit));
}

napi_value assign(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double to, from;
  if (!args.number(0, &to) || !args.number(1, &from)) return nullptr;
  return finish(env, self, self.engine().assign(to, from));
}

napi_value accumulate(napi_env env, napi_callback_info info) {
  const Arguments args(env, info);
  Environment& self = Environment::of(env);
  double to, from;
  if (!args.number(0, &to) || !args.number(1, &from)) return nullptr;
  return finish(env, self, self.engine().accumulate(to, from));
}

}  // namespace tg::binding
