// Reads the symbol table of the module that this is linked into (ELF): __shared__ variables are
// function-local thread_locals there, which nothing else tells apart or enumerates.
#include "symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "execution.h"

namespace tg::emulation {

namespace {

struct Module {
  std::string path;
  uintptr_t base = 0;
  void* thread_locals = nullptr;  // of the calling thread
};

int find_module(dl_phdr_info* info, size_t, void* result) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(&symbol_at);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    const uintptr_t start = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || here - start >= segment.p_memsz) continue;
    Module* const module = static_cast<Module*>(result);
    module->path = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
    module->base = info->dlpi_addr;
    module->thread_locals = info->dlpi_tls_data;
    return 1;
  }
  return 0;
}

Module this_module() {
  Module module;
  dl_iterate_phdr(find_module, &module);
  return module;
}

thread_local char* thread_locals = nullptr;  // this module's block of them

struct Symbols {
  std::map<uintptr_t, std::string> functions;
  std::map<size_t, size_t> shared;  // offset in the block of thread-locals, bytes

  Symbols() {
    const int file = open(this_module().path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat status;
    if (fstat(file, &status) == 0) {
      const size_t bytes = static_cast<size_t>(status.st_size);
      void* const image = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
      if (image != MAP_FAILED) {
        read(static_cast<const char*>(image));
        munmap(image, bytes);
      }
    }
    close(file);
  }

 private:
  void read(const char* image) {
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(image);
    const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(image + header->e_shoff);
    for (int i = 0; i < header->e_shnum; ++i) {
      if (sections[i].sh_type != SHT_SYMTAB) continue;
      const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(image + sections[i].sh_offset);
      const char* names = image + sections[sections[i].sh_link].sh_offset;
      for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols; ++k)
        add(symbols[k], names + symbols[k].st_name);
    }
  }

  void add(const ElfW(Sym) & symbol, const char* name) {
    const int type = symbol.st_info & 15;
    if (type == STT_FUNC && symbol.st_value)
      functions[symbol.st_value] = name;
    else if (type == STT_TLS && strncmp(name, "_ZZ", 3) == 0)  // local to a function
      shared[symbol.st_value] = symbol.st_size;
  }
};

// Never destroyed: streams may still be at work when the process ends.
const Symbols& symbols() {
  static const Symbols& all = *new Symbols;
  return all;
}

char* own_thread_locals() {
  if (!thread_locals) thread_locals = static_cast<char*>(this_module().thread_locals);
  return thread_locals;
}

}  // namespace

std::string symbol_at(const void* function) {
  const auto& functions = symbols().functions;
  const auto found = functions.find(reinterpret_cast<uintptr_t>(function) - this_module().base);
  if (found == functions.end()) return "a kernel";
  int status = 0;
  char* const name = abi::__cxa_demangle(found->second.c_str(), nullptr, nullptr, &status);
  const std::string result = name ? name : found->second;
  free(name);
  return result;
}

bool in_shared_array(const void* address, size_t bytes) {
  const Symbols& all = symbols();
  if (all.shared.empty()) return true;
  const size_t place = offset_of_shared_array(address);
  auto after = all.shared.upper_bound(place);
  if (after == all.shared.begin()) return false;
  --after;
  const size_t within = place - after->first;
  return within < after->second && bytes <= after->second - within;
}

size_t offset_of_shared_array(const void* address) {
  return static_cast<size_t>(static_cast<const char*>(address) - own_thread_locals());
}

void* shared_array_at(size_t offset) { return own_thread_locals() + offset; }

void poison_shared_arrays() {
  const Symbols& all = symbols();
  if (all.shared.empty() || !own_thread_locals()) return;
  for (const auto& [offset, bytes] : all.shared)
    memset(own_thread_locals() + offset, kPoison, bytes);
}

}  // namespace tg::emulation
