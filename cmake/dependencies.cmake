# Debian 12 packages only (tools/install_dependencies.sh); nothing is downloaded at configure time.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(yaml-cpp REQUIRED CONFIG)
if(NOT TARGET yaml-cpp)  # a missing plain name would silently become -lyaml-cpp
  message(FATAL_ERROR "yaml-cpp was found but defines no target 'yaml-cpp'")
endif()
find_package(Eigen3 3.4 REQUIRED CONFIG)
find_package(dnnl REQUIRED CONFIG)  # needs the OpenCL development files on Debian
find_package(PNG REQUIRED)
