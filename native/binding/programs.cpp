#include "programs.h"

#include <utility>

#include "functions.h"

namespace tg::binding {

using program::Graph;
using program::Program;
using program::Runner;

Programs::~Programs() { stop_all(this); }

void Programs::stop_all(void* self) {
  Programs& programs = *static_cast<Programs*>(self);
  for (auto& entry : programs.entries_)
    if (entry && entry->runner->running()) entry->runner->abort();
  programs.entries_.clear();  // joins
  // Nobody calls it from here on. Without this, newer versions of Node would keep it for the thread
  // that it was made for.
  if (programs.done_) napi_release_threadsafe_function(programs.done_, napi_tsfn_abort);
  programs.done_ = nullptr;
}

bool Programs::listen(napi_env env, napi_value callback) {
  if (done_) return true;
  napi_value name;
  napi_create_string_utf8(env, "tapegrad", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, callback, nullptr, name, 0, 1, nullptr, nullptr, this,
                                      deliver, &done_) != napi_ok)
    return false;
  napi_unref_threadsafe_function(env, done_);
  // Hooks run newest first: threads end before the function they call is gone.
  return napi_add_env_cleanup_hook(env, stop_all, this) == napi_ok;
}

// On a program's thread.
void Programs::notify(void* arg) {
  const Entry& entry = *static_cast<Entry*>(arg);
  napi_call_threadsafe_function(entry.programs->done_,
                                reinterpret_cast<void*>(static_cast<intptr_t>(entry.id)),
                                napi_tsfn_nonblocking);
}

void Programs::deliver(napi_env env, napi_value callback, void*, void* id) {
  if (!env) return;
  napi_value number =
      make_number(env, static_cast<double>(static_cast<int64_t>(reinterpret_cast<intptr_t>(id))));
  napi_value global, result;
  napi_get_global(env, &global);
  napi_call_function(env, global, callback, 1, &number, &result);
}

void Programs::begin(uint8_t device, uint64_t seed, uint64_t stream) {
  graph_.reset(new (std::nothrow) Graph(engine_, device, seed, stream));
  engine_.set_recorder(graph_.get());
}

std::unique_ptr<Graph> Programs::end() {
  engine_.set_recorder(nullptr);
  return std::move(graph_);
}

Status Programs::add(std::unique_ptr<Graph> graph, int64_t* id) {
  std::unique_ptr<Program> made;
  TG_TRY(Program::make(engine_, std::move(graph), &made));
  *id = static_cast<int64_t>(entries_.size());
  entries_.emplace_back(new Entry{this, *id, nullptr});
  entries_.back()->runner.reset(new Runner(std::move(made), notify, entries_.back().get()));
  return Status::ok;
}

Runner* Programs::find(int64_t id) {
  if (id < 0 || id >= static_cast<int64_t>(entries_.size())) return nullptr;
  const auto& entry = entries_[static_cast<size_t>(id)];
  return entry ? entry->runner.get() : nullptr;
}

void Programs::remove(napi_env env, int64_t id) {
  Runner* runner = find(id);
  if (!runner) return;
  if (runner->started()) ended(env);
  entries_[static_cast<size_t>(id)].reset();
}

void Programs::started(napi_env env) {
  if (running_++ == 0) napi_ref_threadsafe_function(env, done_);
}
void Programs::ended(napi_env env) {
  if (--running_ == 0 && done_) napi_unref_threadsafe_function(env, done_);
}

Programs::Pause::Pause(Programs& all) : programs(all) {
  for (auto& entry : programs.entries_)
    if (entry && entry->runner->running()) entry->runner->pause();
}
Programs::Pause::~Pause() {
  for (auto& entry : programs.entries_)
    if (entry && entry->runner->running()) entry->runner->resume();
}

}  // namespace tg::binding
