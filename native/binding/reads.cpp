#include "reads.h"

#include <new>

#include "arguments.h"

namespace tg::binding {

bool Reads::listen(napi_env env, napi_value callback) {
  if (channel_) return true;
  std::shared_ptr<Channel> channel(new (std::nothrow) Channel);
  napi_value name;
  napi_create_string_utf8(env, "tapegrad", NAPI_AUTO_LENGTH, &name);
  if (!channel ||
      napi_create_threadsafe_function(env, callback, nullptr, name, 0, 1, nullptr, nullptr, this,
                                      deliver, &channel->function) != napi_ok)
    return false;
  napi_unref_threadsafe_function(env, channel->function);
  channel_ = std::move(channel);
  return napi_add_env_cleanup_hook(env, stop, this) == napi_ok;
}

// On a thread of the device's.
void Reads::done(void* arg, bool filled) {
  const std::unique_ptr<std::shared_ptr<Read>> owned(static_cast<std::shared_ptr<Read>*>(arg));
  Read& read = **owned;
  read.filled = filled;
  const std::lock_guard<std::mutex> guard(read.channel->lock);
  read.ended = true;
  if (read.channel->function)
    napi_call_threadsafe_function(read.channel->function,
                                  reinterpret_cast<void*>(static_cast<intptr_t>(read.id)),
                                  napi_tsfn_nonblocking);
}

void Reads::deliver(napi_env env, napi_value callback, void* arg, void* id) {
  if (!env) return;
  Reads& self = *static_cast<Reads*>(arg);
  // The process stays for copies that are under way, not for those that nobody fetches.
  if (--self.under_way_ == 0 && self.channel_)
    napi_unref_threadsafe_function(env, self.channel_->function);
  napi_value number =
      make_number(env, static_cast<double>(static_cast<int64_t>(reinterpret_cast<intptr_t>(id))));
  napi_value global, result;
  napi_get_global(env, &global);
  napi_call_function(env, global, callback, 1, &number, &result);
}

// The environment ends: after the device has ended its work, every copy has its elements and has
// told so, unless the device failed.
void Reads::stop(void* arg) {
  Reads& self = *static_cast<Reads*>(arg);
  if (!self.channel_) return;
  (void)self.engine_.finish(kCuda);
  const std::shared_ptr<Channel> channel = std::move(self.channel_);
  const std::lock_guard<std::mutex> guard(channel->lock);
  napi_release_threadsafe_function(channel->function, napi_tsfn_abort);
  channel->function = nullptr;
  for (const auto& entry : self.reads_)
    if (entry.second->ended) self.engine_.done_reading(entry.second->later);
  self.reads_.clear();
}

Status Reads::start(napi_env env, double handle, DType as, int64_t* id) {
  Error& error = engine_.error();
  std::shared_ptr<Read> read(new (std::nothrow) Read);
  std::shared_ptr<Read>* arg = new (std::nothrow) std::shared_ptr<Read>(read);
  if (!read || !arg) {
    delete arg;
    return error.set(Status::out_of_memory, "data: no memory");
  }
  read->channel = channel_;
  read->id = *id = next_++;
  const Status status = engine_.read_later(handle, as, &read->later, done, arg);
  if (status != Status::ok) {
    delete arg;
    return status;
  }
  reads_.emplace(*id, std::move(read));
  if (under_way_++ == 0) napi_ref_threadsafe_function(env, channel_->function);
  return Status::ok;
}

Status Reads::take(int64_t id, void* to, size_t bytes) {
  Error& error = engine_.error();
  const auto found = reads_.find(id);
  if (found == reads_.end() || !found->second->ended)
    return error.set(Status::type_error, "data: there is no such copy");
  const std::shared_ptr<Read> read = found->second;
  if (bytes != read->later.bytes)
    return error.set(Status::range_error, "data: the array holds %zu bytes, but the tensor %zu",
                     bytes, read->later.bytes);
  reads_.erase(found);
  const Status status = read->filled ? engine_.take_read(read->later, to) : Status::ok;
  engine_.done_reading(read->later);
  if (read->filled) return status;
  TG_TRY(engine_.finish(kCuda));
  return error.set(Status::device, "data: the copy failed");
}

}  // namespace tg::binding
