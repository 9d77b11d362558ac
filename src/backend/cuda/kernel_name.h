#pragma once
#include <string>
#include <string_view>

namespace sing::cuda {

/// What people call a kernel: "norm_rows_kernel<bf16, 4>". Looked up once; works in a process whose
/// device has failed ("a kernel", if need be). Thread-safe.
const std::string& kernel_name(const void* kernel);

/// "norm_rows_kernel<bf16, 4>" of "void sing::cuda::(anonymous namespace)::norm_rows_kernel<
/// sing::bfloat16, 4>(...)": without namespaces and parameters, with SING's words for types.
inline std::string readable(std::string_view demangled) {
  // Ends at the parameters: the first "(" outside of brackets that is not "(anonymous namespace)".
  constexpr std::string_view kAnonymous = "(anonymous namespace)";
  size_t end = 0, begin = 0;
  int depth = 0;
  for (; end < demangled.size(); ++end) {
    if (demangled.substr(end, kAnonymous.size()) == kAnonymous) {
      end += kAnonymous.size() - 1;
      continue;
    }
    const char c = demangled[end];
    if (c == '<' || c == '{') ++depth;
    if (c == '>' || c == '}') --depth;
    if (depth > 0) continue;
    if (c == '(') break;
    if (c == ' ') begin = end + 1;  // behind the type it returns
  }
  std::string text(demangled.substr(begin, end - begin));
  const auto replace = [&text](std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  };
  for (const std::string_view scope :
       {"(anonymous namespace)::", "sing::", "cuda::", "optim::", "ops::", "kernels::"})
    replace(scope, "");
  replace("__nv_bfloat16", "bf16");
  replace("bfloat16", "bf16");
  replace("double", "f64");
  replace("float", "f32");
  replace("unsigned int", "u32");
  replace("> >", ">>");
  return text;
}

}  // namespace sing::cuda
