include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS sing sing_train sing_core sing_train_all EXPORT singTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/sing DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/sing/configs
  FILES_MATCHING PATTERN "*.yaml")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(SING_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sing)
install(EXPORT singTargets NAMESPACE sing:: DESTINATION ${SING_CMAKE_DIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/singConfig.cmake.in
  ${PROJECT_BINARY_DIR}/singConfig.cmake INSTALL_DESTINATION ${SING_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/singConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/singConfig.cmake ${PROJECT_BINARY_DIR}/singConfigVersion.cmake
  DESTINATION ${SING_CMAKE_DIR})
if(BUILD_SHARED_LIBS)
  set(SING_PC_LIBS "-lsing_train -lsing")
  set(SING_PC_REQUIRES "")
else()  # whole, as in libraries.cmake
  set(SING_PC_LIBS "-Wl,--whole-archive -lsing_train -lsing -Wl,--no-whole-archive -ldnnl")
  set(SING_PC_REQUIRES "spdlog fmt yaml-cpp libpng zlib")
endif()
# Relative to the file itself: an installed tree may be moved.
file(RELATIVE_PATH SING_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/sing.pc.in ${PROJECT_BINARY_DIR}/sing.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sing.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET sing_program)
  set_target_properties(sing_program PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS sing_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  foreach(verb train eval predict)
    install(FILES ${PROJECT_BINARY_DIR}/sing-${verb} DESTINATION ${CMAKE_INSTALL_BINDIR})
  endforeach()
endif()
