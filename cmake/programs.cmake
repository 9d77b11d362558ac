include(cmake/error_codes.cmake)
sing_room_sources(app_sources apps)
if(app_sources)
  add_executable(sing_program ${app_sources})
  set_target_properties(sing_program PROPERTIES OUTPUT_NAME sing
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_link_libraries(sing_program PRIVATE sing_build sing::train fmt::fmt
    nlohmann_json::nlohmann_json)
  sing_error_codes(sing_program)
  # One program under the names people type; the verb follows from the name.
  foreach(verb train eval predict)
    add_custom_command(TARGET sing_program POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink sing ${PROJECT_BINARY_DIR}/sing-${verb})
  endforeach()
endif()
