# libsing: tensors to optimizers; no YAML, command line or network.
sing_room_sources(core_sources core backend tensor autograd ops nn optim)
file(GLOB config_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/config/*.cpp)
list(FILTER core_sources EXCLUDE REGEX "/backend/(cpu/simd|cuda)/")
# libsing_train: YAML, data, metrics, trainer.
sing_room_sources(train_sources config/yaml data metrics train)

# Update loops become vector code at -O3 only (-O2 of gcc 12 wants trip counts known beforehand).
set(optim_sources ${core_sources})
list(FILTER optim_sources INCLUDE REGEX "/src/optim/")
if(NOT SING_SANITIZE)
  set_source_files_properties(${optim_sources} PROPERTIES COMPILE_OPTIONS -O3)
endif()

add_library(sing ${core_sources} ${config_sources} ${SING_SIMD_OBJECTS})
target_link_libraries(sing PRIVATE $<BUILD_INTERFACE:sing_build> spdlog::spdlog fmt::fmt
  $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:Eigen3::Eigen> DNNL::dnnl
  Threads::Threads ${CMAKE_DL_LIBS})
target_compile_definitions(sing PRIVATE SING_VERSION="${PROJECT_VERSION}")
# On the one file that asks, so that shared and static builds share their compiler cache.
if(NOT BUILD_SHARED_LIBS)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backend/plugin.cpp PROPERTIES
    COMPILE_DEFINITIONS SING_STATIC_LIBRARY)
endif()

add_library(sing_train ${train_sources})
target_link_libraries(sing_train PUBLIC sing_core PRIVATE $<BUILD_INTERFACE:sing_build> yaml-cpp
  fmt::fmt $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> PNG::PNG Threads::Threads)
target_compile_definitions(sing_train PRIVATE SING_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
  SING_BUILD_TYPE="$<CONFIG>")

foreach(target sing sing_train)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON DEFINE_SYMBOL ""
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON INSTALL_RPATH "$ORIGIN"
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endforeach()
set_target_properties(sing PROPERTIES EXPORT_NAME libsing)
set_target_properties(sing_train PROPERTIES EXPORT_NAME libsing_train)

# What users link: sing::core and sing::train. Components register themselves in static
# initialisers, so a static library has to be linked whole; these wrappers carry that. The names
# inside are those of the exported targets, so that the same text serves both trees.
add_library(sing::libsing ALIAS sing)
add_library(sing::libsing_train ALIAS sing_train)
add_library(sing_core INTERFACE)
add_library(sing_train_all INTERFACE)
if(BUILD_SHARED_LIBS)
  target_link_libraries(sing_core INTERFACE sing::libsing)
  target_link_libraries(sing_train_all INTERFACE sing::libsing_train)
else()
  target_link_libraries(sing_core INTERFACE "$<LINK_LIBRARY:WHOLE_ARCHIVE,sing::libsing>")
  target_link_libraries(sing_train_all INTERFACE "$<LINK_LIBRARY:WHOLE_ARCHIVE,sing::libsing_train>")
endif()
set_target_properties(sing_core PROPERTIES EXPORT_NAME core)
set_target_properties(sing_train_all PROPERTIES EXPORT_NAME train)
add_library(sing::core ALIAS sing_core)
add_library(sing::train ALIAS sing_train_all)
