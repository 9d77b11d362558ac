#pragma once
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sing/core/sha256.h"
#include "sing/tensor/safetensors.h"

namespace sing::test {

using Tensors = std::map<std::string, Tensor>;

/// What is wrong with the golden file `name` ("nn/losses.safetensors") below `root`, or nothing.
/// Each folder of golden files holds a MANIFEST, written by tests/golden/golden_manifest.py: its
/// first line is "<script> version <n>", then follow lines "<sha256>  <file>". The file must have
/// the checksum of its line, and the script must still be of the version that wrote it (its line
/// "VERSION = <n>"), or it would no longer say where the numbers come from.
inline std::string golden_problem(const std::string& root, const std::string& name) {
  const auto text_of = [](const std::string& path) -> std::string {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  };
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return name + " is in no folder with a MANIFEST";
  const std::string folder = name.substr(0, slash), file = name.substr(slash + 1);
  std::istringstream manifest(text_of(root + "/" + folder + "/MANIFEST"));
  std::string script, word, version;
  if (!(manifest >> script >> word >> version) || word != "version")
    return folder + "/MANIFEST is missing or does not start with a script and its version";
  if (("\n" + text_of(root + "/" + script)).find("\nVERSION = " + version + "\n") ==
      std::string::npos)
    return script + " is not of version " + version + ", which wrote " + name + ": run it again";
  for (std::string checksum, listed; manifest >> checksum >> listed;) {
    if (listed != file) continue;
    const std::string bytes = text_of(root + "/" + name);
    if (sha256_hex(std::as_bytes(std::span(bytes))) == checksum) return {};
    return name + " has not the checksum of its MANIFEST";
  }
  return name + " is not listed in its MANIFEST";
}

/// A file of tests/golden, once its checksum was found right.
inline Tensors golden_file(const std::string& name) {
  const std::string root = std::string(SING_SOURCE_DIR) + "/tests/golden";
  if (const std::string problem = golden_problem(root, name); !problem.empty())
    throw std::runtime_error("golden file: " + problem);
  return load_tensors(root + "/" + name);
}

}  // namespace sing::test
