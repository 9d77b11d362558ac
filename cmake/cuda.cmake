# The CUDA backend, libsing_cuda.so: opened at run time, so that one program serves machines with
# and without a GPU. SING_CUDA=AUTO builds it where a toolkit and cuDNN are found; nothing here needs
# a GPU or a driver.
set(SING_CUDA AUTO CACHE STRING "The CUDA backend: AUTO, ON or OFF")
set_property(CACHE SING_CUDA PROPERTY STRINGS AUTO ON OFF)
set(CUDNN_ROOT "" CACHE PATH "Where cuDNN lies when it is not beside the toolkit")
set(SING_CUDA_LINK plugin CACHE STRING "plugin: a library of its own; builtin: a part of libsing, for programs that embed it")
set_property(CACHE SING_CUDA_LINK PROPERTY STRINGS plugin builtin)
set(SING_CUDA_RPATH "" CACHE STRING "Folders in which the backend looks for cuDNN and cuBLASLt at run time")
set(SING_HAS_CUDA OFF)

function(sing_find_cuda)
  find_program(SING_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(SING_NVCC AND NOT DEFINED ENV{CUDACXX} AND NOT CMAKE_CUDA_COMPILER)
    set(ENV{CUDACXX} ${SING_NVCC})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(SING_CUDA_REASON "no CUDA compiler (nvcc) was found" PARENT_SCOPE)
    return()
  endif()
  find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT PATHS /usr/local/cuda
    PATH_SUFFIXES include)
  find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT
    PATHS /usr/local/cuda PATH_SUFFIXES lib lib64)
  if(NOT CUDNN_INCLUDE_DIR OR NOT CUDNN_LIBRARY)
    set(SING_CUDA_REASON "cuDNN was not found (set CUDNN_ROOT)" PARENT_SCOPE)
    return()
  endif()
  set(SING_HAS_CUDA ON PARENT_SCOPE)
endfunction()

if(NOT SING_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SING_CUDA must be AUTO, ON or OFF, not '${SING_CUDA}'")
endif()
if(NOT SING_CUDA_LINK MATCHES "^(plugin|builtin)$")
  message(FATAL_ERROR "SING_CUDA_LINK must be plugin or builtin, not '${SING_CUDA_LINK}'")
endif()
if(SING_CUDA_LINK STREQUAL "builtin" AND NOT SING_CUDA STREQUAL "ON")
  message(FATAL_ERROR "SING_CUDA_LINK=builtin makes CUDA a need of libsing: say SING_CUDA=ON with it")
endif()
if(CMAKE_CUDA_ARCHITECTURES MATCHES "native")
  message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES=native builds for whatever GPU is here, silently for "
    "an old one where there is none: name them, as 90-real")
endif()
if(NOT SING_CUDA STREQUAL "OFF")
  if(BUILD_SHARED_LIBS OR SING_CUDA_LINK STREQUAL "builtin")
    sing_find_cuda()
  else()  # a plugin would bring the shared libsing, and with it a second set of kernel slots
    set(SING_CUDA_REASON "a static libsing opens no plugins (SING_CUDA_LINK=builtin links it in)")
  endif()
  if(SING_CUDA STREQUAL "ON" AND NOT SING_HAS_CUDA)
    message(FATAL_ERROR "SING_CUDA=ON, but ${SING_CUDA_REASON}")
  endif()
endif()

# One list of files for the real backend and for the one of the tests, which a host compiler builds.
file(GLOB SING_CUDA_KERNELS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
file(GLOB SING_CUDA_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/cuda/*.cpp)
file(GLOB_RECURSE SING_CUDA_LIBRARY_SOURCES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/backend/cuda/*/*.cpp)  # users of cuDNN and cuBLASLt, by folder
# The optimizers: the files of their hosts, compiled a second time, and what drives them. Wrappers
# say so, since the same files are a part of libsing.
file(GLOB SING_CUDA_OPTIM CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/optim/device/*.cu
  ${PROJECT_SOURCE_DIR}/src/optim/hosts/*.cpp)
function(sing_optim_wrappers out folder suffix)
  set(wrappers "")
  foreach(file IN LISTS SING_CUDA_OPTIM)
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/src ${file})
    string(REGEX REPLACE "[/.]" "_" wrapper ${name})
    set(wrapper ${folder}/${wrapper}.${suffix})
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#define SING_OPTIM_DEVICE 1\n#include \"${name}\"\n" @ONLY)
    list(APPEND wrappers ${wrapper})
  endforeach()
  set(${out} "${wrappers}" PARENT_SCOPE)
endfunction()
if(SING_HAS_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90-real CACHE STRING "")
  endif()
  if(SING_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 knows no C++20 for nvcc, and says nothing
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  find_package(CUDAToolkit REQUIRED)
  string(REPLACE ";" "," architectures "${CMAKE_CUDA_ARCHITECTURES}")
  # Registers are counted out for this one; elsewhere some kernels spill a few, which is no error.
  set(spills "")
  if(architectures STREQUAL "90-real")
    set(spills "-warn-spills,")
  endif()

  sing_optim_wrappers(optim_wrappers ${CMAKE_CURRENT_BINARY_DIR}/cuda_optim cu)
  # No contraction: values are those of the CPU, and memory is what the time goes to.
  set(plain_sums ${SING_CUDA_KERNELS})
  list(FILTER plain_sums INCLUDE REGEX "/optim_[a-z_]*\\.cu$")
  set_source_files_properties(${optim_wrappers} ${plain_sums} PROPERTIES COMPILE_OPTIONS -fmad=false)
  set(form MODULE)
  if(SING_CUDA_LINK STREQUAL "builtin")
    set(form OBJECT)
  endif()
  add_library(sing_cuda ${form} ${SING_CUDA_KERNELS} ${optim_wrappers} ${SING_CUDA_SOURCES}
    ${SING_CUDA_LIBRARY_SOURCES})
  target_compile_features(sing_cuda PRIVATE cxx_std_20)
  target_include_directories(sing_cuda PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(sing_cuda SYSTEM PRIVATE ${CUDNN_INCLUDE_DIR})
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/cuda/plugin.cpp APPEND PROPERTY
    COMPILE_DEFINITIONS SING_CUDA_ARCHITECTURES="${architectures}")
  target_compile_options(sing_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Wno-unknown-pragmas -ffp-contract=off>
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr --expt-extended-lambda -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers
      -Xptxas=${spills}-v>)
  if(SING_WERROR)
    target_compile_options(sing_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
  endif()
  set(needs CUDA::cudart_static CUDA::cublasLt ${CUDNN_LIBRARY})
  # CMake takes the toolkit's folder for one the loader knows and would write nothing.
  cmake_path(GET CUDNN_LIBRARY PARENT_PATH cudnn_folder)
  set(folders ${CUDAToolkit_LIBRARY_DIR} ${cudnn_folder} ${SING_CUDA_RPATH})
  list(REMOVE_DUPLICATES folders)
  set_target_properties(sing_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
    CUDA_EXTENSIONS OFF CUDA_RUNTIME_LIBRARY Static POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    RULE_LAUNCH_COMPILE "${PROJECT_SOURCE_DIR}/cmake/ptxas_report.sh <OBJECT>")
  if(SING_CUDA_LINK STREQUAL "builtin")
    target_include_directories(sing_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(sing_cuda PRIVATE ${needs})
    # A name of its own: a plugin beside it must not be taken for a backend because of this one.
    set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/cuda/plugin.cpp APPEND PROPERTY
      COMPILE_DEFINITIONS sing_backend_entry=sing_builtin_cuda_entry)
    target_sources(sing PRIVATE $<TARGET_OBJECTS:sing_cuda>)
    target_link_libraries(sing PRIVATE ${needs})
    set_target_properties(sing PROPERTIES LINKER_LANGUAGE CXX BUILD_RPATH "${folders}"
      INSTALL_RPATH "$ORIGIN;${folders}")
    set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/backend/plugin.cpp APPEND PROPERTY
      COMPILE_DEFINITIONS SING_BUILTIN_CUDA)
  else()
    set(exports ${PROJECT_SOURCE_DIR}/cmake/backend.map)
    target_link_libraries(sing_cuda PRIVATE sing ${needs})
    target_link_options(sing_cuda PRIVATE LINKER:--version-script=${exports})
    set_target_properties(sing_cuda PROPERTIES LINK_DEPENDS ${exports}
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} BUILD_RPATH "${folders}"
      INSTALL_RPATH "$ORIGIN;${folders}")
    if(SING_INSTALL)
      include(GNUInstallDirs)
      install(TARGETS sing_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    endif()
  endif()
  message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}, ${CUDNN_LIBRARY}")
elseif(NOT SING_CUDA STREQUAL "OFF")
  message(STATUS "CUDA backend: not built, ${SING_CUDA_REASON}")
endif()
