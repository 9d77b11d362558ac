# sing (sing::core): tensors to optimizers; no YAML, command line or network.
sing_room_sources(core_sources core backend tensor autograd ops nn optim)
file(GLOB config_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/config/*.cpp)
list(FILTER core_sources EXCLUDE REGEX "/backend/cpu/simd/")
# sing_train (sing::train): YAML, data, metrics, trainer.
sing_room_sources(train_sources config/yaml data metrics train)

add_library(sing ${core_sources} ${config_sources} ${SING_SIMD_OBJECTS})
target_link_libraries(sing PRIVATE $<BUILD_INTERFACE:sing_build> spdlog::spdlog fmt::fmt
  $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:Eigen3::Eigen> DNNL::dnnl
  Threads::Threads ${CMAKE_DL_LIBS})
add_library(sing::core ALIAS sing)

add_library(sing_train ${train_sources})
target_link_libraries(sing_train PUBLIC sing PRIVATE $<BUILD_INTERFACE:sing_build> yaml-cpp
  fmt::fmt $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> PNG::PNG Threads::Threads)
add_library(sing::train ALIAS sing_train)

foreach(target sing sing_train)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endforeach()
target_compile_definitions(sing PRIVATE SING_VERSION="${PROJECT_VERSION}")
set_target_properties(sing PROPERTIES EXPORT_NAME core)
set_target_properties(sing_train PROPERTIES EXPORT_NAME train)

# Components register themselves in static initialisers: a static library must be linked whole.
if(BUILD_SHARED_LIBS)
  set(SING_CORE_WHOLE sing)
  set(SING_TRAIN_WHOLE sing_train)
else()
  set(SING_CORE_WHOLE "$<LINK_LIBRARY:WHOLE_ARCHIVE,sing>")
  set(SING_TRAIN_WHOLE "$<LINK_LIBRARY:WHOLE_ARCHIVE,sing_train>;$<LINK_LIBRARY:WHOLE_ARCHIVE,sing>")
endif()
