// The compiled functions of an environment: the recording under way, and those that can be run, by
// number. Tells JavaScript on its own thread when one has ended.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "../program/runner.h"

namespace tg::binding {

class Programs {
 public:
  explicit Programs(Engine& engine) : engine_(engine) {}
  ~Programs();

  // The callback that gets the number of each program that has ended. Once.
  bool listen(napi_env env, napi_value callback);

  program::Graph* recording() { return graph_.get(); }
  void begin(uint8_t device, uint64_t seed, uint64_t stream);
  // The graph, if it is being recorded; nobody records any more.
  std::unique_ptr<program::Graph> end();
  // Makes a program of a graph, with a number of its own.
  Status add(std::unique_ptr<program::Graph> graph, int64_t* id);
  // Null if there is none of that number.
  program::Runner* find(int64_t id);
  void remove(napi_env env, int64_t id);

  bool listening() const { return done_ != nullptr; }
  // Keeps the event loop alive while anything runs.
  void started(napi_env env);
  void ended(napi_env env);
  // Holds all running programs at the end of a step while it exists.
  struct Pause {
    explicit Pause(Programs& all);
    ~Pause();
    Programs& programs;
  };

 private:
  struct Entry {
    Programs* programs;
    int64_t id;
    std::unique_ptr<program::Runner> runner;
  };
  static void notify(void* entry);
  static void deliver(napi_env env, napi_value callback, void* self, void* id);
  static void stop_all(void* self);

  Engine& engine_;
  std::unique_ptr<program::Graph> graph_;
  std::vector<std::unique_ptr<Entry>> entries_;
  napi_threadsafe_function done_ = nullptr;
  int running_ = 0;
};

}  // namespace tg::binding
