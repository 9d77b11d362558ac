# Files in src/backend/cpu/simd/ are compiled once per instruction set, each into its own namespace
# (SING_SIMD, see src/backend/cpu/simd/simd.h); the best one the processor offers is chosen at start.
set(SING_SIMD_OBJECTS "")
function(sing_add_simd_level level)
  file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cpu/simd/*.cpp)
  if(NOT files)
    return()
  endif()
  add_library(sing_simd_${level} OBJECT ${files})
  target_link_libraries(sing_simd_${level} PRIVATE sing_build)
  # GCC 12's own intrinsics headers start from `x = x`, which it then warns about (its bug 105593).
  target_compile_options(sing_simd_${level} PRIVATE -O3 -Wno-uninitialized -Wno-maybe-uninitialized
    ${ARGN})
  target_compile_definitions(sing_simd_${level} PRIVATE SING_SIMD=${level})
  set_target_properties(sing_simd_${level} PROPERTIES POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  list(APPEND SING_SIMD_OBJECTS $<TARGET_OBJECTS:sing_simd_${level}>)
  set(SING_SIMD_OBJECTS "${SING_SIMD_OBJECTS}" PARENT_SCOPE)
endfunction()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  sing_add_simd_level(avx2 -mavx2 -mfma)
  sing_add_simd_level(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma
    -mprefer-vector-width=512)
endif()
