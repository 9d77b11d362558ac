# Every option starts with SING_; nothing here changes a global flag of an embedding project.
if(PROJECT_IS_TOP_LEVEL)  # inside another project its own choice counts; CMake's default is static
  option(BUILD_SHARED_LIBS "Build libsing as shared libraries" ON)
endif()
option(SING_BUILD_TOOLS "Build the programs (sing, sing-train, ...)" ${PROJECT_IS_TOP_LEVEL})
option(SING_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(SING_BUILD_BENCHMARKS "Build the benchmarks" OFF)
option(SING_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(SING_BUILD_COVERAGE "Build the tests of the readers for coverage (clang only)" OFF)
option(SING_INSTALL "Generate install rules" ${PROJECT_IS_TOP_LEVEL})
option(SING_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(SING_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)
  # Line tables are enough for back traces; full debug information doubles the build time.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1" CACHE STRING "" FORCE)
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(SING_CCACHE ccache)
  if(SING_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Relative paths in the key: every checkout of the same sources shares the cache.
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
        CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${SING_CCACHE})
  endif()
endif()

# There are no modules here; newer CMake would read every source once more to look for them.
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

# Compile settings of all our targets; never exported.
add_library(sing_build INTERFACE)
target_compile_features(sing_build INTERFACE cxx_std_20)
target_compile_options(sing_build INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  # GCC 12 reports impossible overlaps inside std::string (GCC bug 105651), and at -O3 overflows in
  # the insertion into a vector of bytes (GCC bug 105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread>
  # Designated initialisers leave out what has a default on purpose.
  -Wno-missing-field-initializers
  # A value must not depend on whether a compiler contracts a*b+c: fused paths say fma themselves.
  -ffp-contract=off -fno-math-errno
  $<$<BOOL:${SING_WERROR}>:-Werror>)
target_compile_definitions(sing_build INTERFACE _GLIBCXX_ASSERTIONS)
target_include_directories(sing_build INTERFACE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
if(SING_SANITIZE)
  # GCC's warnings about uninitialised values do not understand instrumented code.
  target_compile_options(sing_build INTERFACE -fsanitize=${SING_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -O1 $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(sing_build INTERFACE -fsanitize=${SING_SANITIZE})
endif()
