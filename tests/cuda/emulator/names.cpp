// The names of kernels, from the table of symbols of the library they are in. Most kernels are
// local to their file, so that the dynamic linker does not know them.
#include <dlfcn.h>
#include <elf.h>

#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/emulator/trace.h"

namespace sing::emulator {
namespace {

using Names = std::map<uintptr_t, std::string>;  // by the distance from where the library lies

template <class T>
std::vector<T> read(std::ifstream& file, uint64_t at, uint64_t bytes) {
  std::vector<T> values(bytes / sizeof(T));
  file.seekg(static_cast<std::streamoff>(at));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

Names names_in(const char* path) {
  Names names;
  std::ifstream file(path, std::ios::binary);
  const std::vector<Elf64_Ehdr> header = read<Elf64_Ehdr>(file, 0, sizeof(Elf64_Ehdr));
  const auto sections =
      read<Elf64_Shdr>(file, header[0].e_shoff, uint64_t{header[0].e_shnum} * sizeof(Elf64_Shdr));
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const Elf64_Shdr& texts = sections[section.sh_link];
    const std::vector<char> text = read<char>(file, texts.sh_offset, texts.sh_size);
    for (const Elf64_Sym& symbol : read<Elf64_Sym>(file, section.sh_offset, section.sh_size))
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_name < text.size())
        names.emplace(symbol.st_value, text.data() + symbol.st_name);
  }
  return file ? names : Names{};
}

}  // namespace
}  // namespace sing::emulator

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Dl_info info{};
  if (name == nullptr || dladdr(kernel, &info) == 0) return cudaErrorInvalidValue;
  static const auto* const names =
      new sing::emulator::Names(sing::emulator::names_in(info.dli_fname));
  const auto found = names->find(reinterpret_cast<uintptr_t>(kernel) -
                                 reinterpret_cast<uintptr_t>(info.dli_fbase));
  if (found == names->end()) return cudaErrorInvalidValue;
  *name = found->second.c_str();
  return cudaSuccess;
}
