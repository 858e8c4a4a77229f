# How every target of ours is built: warnings are errors, third-party headers are SYSTEM.
add_library(gradus_flags INTERFACE)
target_compile_options(gradus_flags INTERFACE -Wall -Wextra -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of GCC bug 105651.
  target_compile_options(gradus_flags INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(GRADUS_SANITIZE)
  target_compile_options(gradus_flags INTERFACE -fsanitize=${GRADUS_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(gradus_flags INTERFACE -fsanitize=${GRADUS_SANITIZE})
endif()

# Headers that half of the files include and that cost seconds each are parsed once: by gradus_base
# for everything, by gradus_tensor with libtorch's. Sources include what they use all the same
# (scripts/lint.sh reads changed files without this; sanitizer and fuzz builds do without it).
set(GRADUS_PRECOMPILE_DEFAULT ON)
if(GRADUS_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(GRADUS_PRECOMPILE_DEFAULT OFF)
endif()
option(GRADUS_PRECOMPILE "parse common headers once" ${GRADUS_PRECOMPILE_DEFAULT})
set(GRADUS_PLAIN_HEADERS <algorithm> <array> <charconv> <chrono> <cmath> <cstring> <functional> <map>
  <memory> <optional> <set> <span> <string> <string_view> <vector> <nlohmann/json.hpp>)
set(GRADUS_TORCH_HEADERS <ATen/core/Tensor.h> <ATen/core/grad_mode.h> <ATen/ops/empty.h>)

# gradus_precompile(<target>): after the target's links are known.
function(gradus_precompile target)
  if(NOT GRADUS_PRECOMPILE)
    return()
  endif()
  target_compile_options(${target} PRIVATE -fpch-preprocess)  # for ccache
  set(torch_users gradus_model gradus_infer gradus_train gradus_quant gradus_eval gradus_serve gradus)
  if(target STREQUAL "gradus_base")
    target_precompile_headers(${target} PRIVATE ${GRADUS_PLAIN_HEADERS})
  elseif(target STREQUAL "gradus_tensor")
    target_precompile_headers(${target} PRIVATE ${GRADUS_PLAIN_HEADERS} ${GRADUS_TORCH_HEADERS})
  elseif(target IN_LIST torch_users)
    target_precompile_headers(${target} REUSE_FROM gradus_tensor)
  else()
    target_precompile_headers(${target} REUSE_FROM gradus_base)
  endif()
endfunction()

# gradus_library(<folder> LINKS …): the static library of lib/<folder>, from every .cpp below it.
function(gradus_library name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_library(gradus_${name} STATIC ${sources})
  target_include_directories(gradus_${name} PUBLIC ${CMAKE_SOURCE_DIR}/lib)
  target_link_libraries(gradus_${name} PUBLIC ${ARG_LINKS} PRIVATE gradus_flags)
  gradus_precompile(gradus_${name})
endfunction()

# gradus_test(<folder> LINKS …): one Catch2 program from the *_test.cpp of tests/unit/<folder>.
function(gradus_test name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE GRADUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE ${ARG_LINKS} gradus_catch_main gradus_flags)
  add_test(NAME unit.${name} COMMAND test_${name})
endfunction()
