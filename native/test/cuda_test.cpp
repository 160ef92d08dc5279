// The CUDA library against the CPU backend, op by op: cuda_test <library.so> [small | part of a
// family's name]. The library may be a real one or the one for the emulated device. A small run has
// a few cases of each op, for compute-sanitizer. cuda_test families: their names.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "../cpu/backend.h"
#include "cuda/cases.h"

using namespace tg;

// The same cases whether it runs alone or behind others.
static void run_family(test::Harness& h, const char* name, void (*cases)(test::Harness&)) {
  if (!h.wants(name)) return;
  const int passed = h.passed, failed = h.failed;
  h.restart();
  cases(h);
  printf("%-12s %6d passed, %d failed\n", name, h.passed - passed, h.failed - failed);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    printf("usage: cuda_test <library.so> [small | family]\n");
    return 2;
  }
  if (strcmp(argv[1], "families") == 0) {
#define TG_NAME(family) printf("%s\n", #family);
    TG_FAMILIES(TG_NAME)
#undef TG_NAME
    return 0;
  }
  void* const opened = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  const auto entry = opened ? reinterpret_cast<DeviceEntry>(dlsym(opened, kDeviceEntry)) : nullptr;
  if (!entry) {
    printf("cannot open %s: %s\n", argv[1], dlerror());
    return 1;
  }
  const DeviceLibrary& library = *entry();
  if (library.abi != kDeviceAbi || library.backend_abi != kBackendAbi ||
      library.fingerprint != device_fingerprint()) {
    printf("%s was built from other sources\n", argv[1]);
    return 1;
  }
  Error error;
  Device* device;
  const Backend* cpu;
  const char* isa;
  if (library.open(&error, 0, &device) != Status::ok ||
      cpu::choose_backend(nullptr, &error, &cpu, &isa) != Status::ok) {
    printf("%s\n", error.message());
    return 1;
  }
  int passed, failed;
  {
    const bool small = argc > 2 && strcmp(argv[2], "small") == 0;
    const char* const filter = argc > 2 && !small ? argv[2] : nullptr;
    test::Harness h(library, device, *cpu, filter, small);
#define TG_RUN(family) run_family(h, #family, test::family##_cases);
    TG_FAMILIES(TG_RUN)
#undef TG_RUN
    if (!filter) h.check_complete();
    if (library.finish(device, &error) != Status::ok) h.check(false, "%s", error.message());
    passed = h.passed, failed = h.failed;
  }
  library.close(device);
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
