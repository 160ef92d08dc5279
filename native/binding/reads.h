// Copies under way from a device to JavaScript. A copy is filled in by the device while JavaScript
// goes on, and fetched on the JavaScript thread once that has been told. What was begun when the
// environment ends is waited for.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "../core/engine.h"

namespace tg::binding {

class Reads {
 public:
  explicit Reads(Engine& engine) : engine_(engine) {}
  ~Reads() { stop(this); }

  // The callback that gets the number of each copy that has ended. Once.
  bool listen(napi_env env, napi_value callback);
  bool listening() const { return channel_ != nullptr; }
  Status start(napi_env env, double handle, DType as, int64_t* id);
  // Copies the elements to `to`, or says why there are none; the copy is forgotten.
  Status take(int64_t id, void* to, size_t bytes);

 private:
  // The way to the JavaScript thread. A device that has failed may call late or never: the function
  // is taken away under a lock, and what was never called is never freed.
  struct Channel {
    std::mutex lock;
    napi_threadsafe_function function = nullptr;
  };
  struct Read {
    std::shared_ptr<Channel> channel;
    int64_t id;
    Engine::Later later;
    std::atomic<bool> ended{false}, filled{false};
  };
  static void done(void* read, bool filled);
  static void deliver(napi_env env, napi_value callback, void* self, void* id);
  static void stop(void* self);

  Engine& engine_;
  std::shared_ptr<Channel> channel_;
  std::unordered_map<int64_t, std::shared_ptr<Read>> reads_;
  int64_t next_ = 0;
  int64_t under_way_ = 0;  // begun, and the listener was not told yet
};

}  // namespace tg::binding
