#pragma once
// Symbols are hidden by default; what a header offers to other libraries carries SING_API.
#if defined(_WIN32)
#define SING_API
#else
#define SING_API __attribute__((visibility("default")))
#endif
