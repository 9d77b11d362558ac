# The readers of outside bytes, the checkpoint writer and what they stand on, as a static library
# of their own: for builds in which everything is instrumented (fuzzing, coverage). Kernels other
# than copies, and the sums of gradients that the tape takes, are left out to keep such a build short.
function(sing_add_reader_library name)
  file(GLOB_RECURSE readers CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/src/core/*.cpp ${PROJECT_SOURCE_DIR}/src/config/*.cpp
    ${PROJECT_SOURCE_DIR}/src/tensor/*.cpp ${PROJECT_SOURCE_DIR}/src/autograd/*.cpp
    ${PROJECT_SOURCE_DIR}/src/train/checkpoint/*.cpp)
  file(GLOB backend CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/src/backend/*.cpp ${PROJECT_SOURCE_DIR}/src/backend/cpu/*.cpp
    ${PROJECT_SOURCE_DIR}/src/backend/cpu/ref/memory.cpp
    ${PROJECT_SOURCE_DIR}/src/backend/cpu/ref/binary.cpp)
  list(FILTER backend EXCLUDE REGEX "/gemm_[^/]*$")
  add_library(${name} STATIC EXCLUDE_FROM_ALL ${readers} ${backend}
    ${PROJECT_SOURCE_DIR}/src/train/state_io.cpp ${PROJECT_SOURCE_DIR}/src/data/png.cpp)
  target_link_libraries(${name} PUBLIC sing_build spdlog::spdlog fmt::fmt
    nlohmann_json::nlohmann_json yaml-cpp PNG::PNG Threads::Threads ${CMAKE_DL_LIBS})
  target_compile_definitions(${name} PRIVATE SING_VERSION="${PROJECT_VERSION}")
endfunction()
