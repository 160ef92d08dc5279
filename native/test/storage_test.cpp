// Tests of the storage pool: alignment, reuse, the byte budget, and huge pages behind large blocks.
#include "../core/storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <initializer_list>

namespace {

using namespace tg;

int passed = 0, failed = 0;
void check(bool ok, const char* what, long long detail = 0) {
  ok ? ++passed : ++failed;
  if (!ok) printf("FAILED: %s (%lld)\n", what, detail);
}

// Every size around the classes' edges: room for what was asked, all of it writable, and the same
// block again after its release.
void blocks() {
  StoragePool pool(size_t{1} << 30);
  for (size_t base = 1; base <= size_t{8} << 20; base *= 2)
    for (const size_t bytes : {base - 1, base, base + 1, base + base / 4 + 1}) {
      Storage* block = pool.allocate(bytes);
      check(block && block->bytes >= bytes && reinterpret_cast<uintptr_t>(block->data) % 64 == 0,
            "aligned, with room", static_cast<long long>(bytes));
      memset(block->data, 1, block->bytes);
      const uint64_t taken = pool.system_allocations();
      pool.release(block);
      Storage* again = pool.allocate(bytes);
      check(again == block && pool.system_allocations() == taken, "reused",
            static_cast<long long>(bytes));
      pool.release(again);
    }
  pool.trim(0);
  check(pool.live_bytes() == 0 && pool.cached_bytes() == 0, "all given back");
}

void budget() {
  StoragePool pool(size_t{16} << 20);
  Storage* first = pool.allocate(size_t{12} << 20);
  check(first && !pool.allocate(size_t{8} << 20), "the limit holds");
  pool.release(first);
  Storage* second = pool.allocate(size_t{8} << 20);
  check(second && pool.cached_bytes() + pool.live_bytes() <= pool.limit(),
        "what is cached makes room");
  pool.release(second);
}

// Whether the kernel lists huge pages among what the mapping around an address asked for
// ("VmFlags: rd wr mr mw me ac hg"); true also where it does not say.
bool asks_for_huge_pages(const void* address) {
  FILE* maps = fopen("/proc/self/smaps", "re");
  if (!maps) return true;
  const unsigned long long at = reinterpret_cast<uintptr_t>(address);
  unsigned long long from, to;
  bool inside = false;
  char line[512];
  while (fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%llx-%llx ", &from, &to) == 2) inside = from <= at && at < to;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      fclose(maps);
      return strstr(line, " hg") != nullptr;
    }
  }
  fclose(maps);
  return true;
}

void huge_pages() {
  if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0) {
    printf("skipped: this kernel has no transparent huge pages\n");
    return;
  }
  // An emulator may not hand the wish on.
  constexpr size_t kProbe = size_t{4} << 20;
  void* probe = mmap(nullptr, kProbe, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool told = probe != MAP_FAILED && madvise(probe, kProbe, MADV_HUGEPAGE) == 0 &&
                    asks_for_huge_pages(probe);
  if (probe != MAP_FAILED) munmap(probe, kProbe);
  if (!told) {
    printf("skipped: this system does not say whose pages are huge\n");
    return;
  }
  StoragePool pool(size_t{1} << 30);
  for (const size_t mebibytes : {2, 4, 7, 16}) {
    Storage* block = pool.allocate(mebibytes << 20);
    check(asks_for_huge_pages(block->data), "a large block asks for huge pages",
          static_cast<long long>(mebibytes));
    pool.release(block);
  }
}

}  // namespace

int main() {
  blocks();
  budget();
  huge_pages();
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
