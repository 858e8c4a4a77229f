# How every target of ours is built: warnings are errors, third-party headers are SYSTEM.
add_library(gradus_flags INTERFACE)
target_compile_options(gradus_flags INTERFACE -Wall -Wextra -Wshadow -Werror)
if(GRADUS_SANITIZE)
  target_compile_options(gradus_flags INTERFACE -fsanitize=${GRADUS_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(gradus_flags INTERFACE -fsanitize=${GRADUS_SANITIZE})
endif()

# gradus_library(<folder> LINKS …): the static library of lib/<folder>, from every .cpp below it.
function(gradus_library name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_library(gradus_${name} STATIC ${sources})
  target_include_directories(gradus_${name} PUBLIC ${CMAKE_SOURCE_DIR}/lib)
  target_link_libraries(gradus_${name} PUBLIC ${ARG_LINKS} PRIVATE gradus_flags)
endfunction()

# gradus_test(<folder> LINKS …): one Catch2 program from the *_test.cpp of tests/unit/<folder>.
function(gradus_test name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE GRADUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE ${ARG_LINKS} gradus_catch_main gradus_flags)
  add_test(NAME unit.${name} COMMAND test_${name})
endfunction()
