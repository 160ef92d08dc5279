// Finds and opens the shared library of a device, and remembers for each path why it was none.
// Holds nothing that must be closed: the library stays in the process (it is linked -z nodelete).
#pragma once

#include "device_library.h"

namespace tg {

class DeviceLoader {
 public:
  static constexpr int kMaxPaths = 4;
  struct Attempt {
    char path[1024];
    char reason[512];  // why it is not used; empty if it is, or was not tried
  };

  // Asked for the paths when the library is looked for; it adds them.
  void (*find)(DeviceLoader* loader) = nullptr;
  // A path to try after those before it. One that is too long is tried as cut off: it is not there.
  void add(const char* path);
  // The first library that fits, looked for at the first call; null if there is none.
  const DeviceLibrary* library();

  int attempts() const { return count_; }
  const Attempt& attempt(int i) const { return attempts_[i]; }

 private:
  const DeviceLibrary* open(Attempt* attempt);

  Attempt attempts_[kMaxPaths];
  int count_ = 0;
  bool tried_ = false;
  const DeviceLibrary* library_ = nullptr;
};

}  // namespace tg
