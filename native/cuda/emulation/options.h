// What the emulated device is like, from environment variables, read once; native tests change it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tg::emulation {

// TAPEGRAD_EMULATION_WAITS=0, which may change at any time: what would have the host wait for the
// device fails (cudaErrorNotPermitted).
struct Options {
  // TAPEGRAD_EMULATION_SEED: shuffles the order in which blocks and threads run; 0: in order.
  uint64_t seed = 0;
  // TAPEGRAD_EMULATION_CAPABILITY: 90 or 80.
  int capability = 90;
  // TAPEGRAD_EMULATION_DEVICES: 1, or 0 (cudaErrorNoDevice).
  int devices = 1;
  // TAPEGRAD_EMULATION_DRIVER=0: as if the driver were too old (cudaErrorInsufficientDriver).
  bool driver = true;
  // TAPEGRAD_EMULATION_MEMORY: the device's memory in bytes.
  size_t memory = size_t{8} << 30;
  // TAPEGRAD_EMULATION_FAIL_LAUNCH: the launch, counted from 1, at which the device is lost; 0:
  // none.
  int64_t fail_launch = 0;
  // TAPEGRAD_EMULATION_COPY_DELAY: microseconds by which copies between host and device come later.
  unsigned copy_delay = 0;
  // TAPEGRAD_EMULATION_GUARD=1: a fault where the host touches device memory while the device does
  // nothing; instead of malloc's memory. To be chosen before there is any.
  bool guard = false;
};

// The process's; not to be changed while others use the device.
Options& options();

}  // namespace tg::emulation
