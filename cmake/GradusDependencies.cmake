# Every third-party library, as one interface target per use. Third-party headers are SYSTEM.
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)

# libtorch: a folder given by CMAKE_PREFIX_PATH, else the wheel that scripts/setup.sh installs.
# Only libtorch_cpu and libc10 are linked: the CUDA backend is opened at run time, so that one
# binary serves machines with and without a GPU and starts in a third of the time.
file(GLOB GRADUS_WHEEL_TORCH ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
find_path(TORCH_INCLUDE ATen/core/Tensor.h PATH_SUFFIXES include HINTS ${GRADUS_WHEEL_TORCH})
find_library(TORCH_CPU_LIBRARY torch_cpu PATH_SUFFIXES lib HINTS ${GRADUS_WHEEL_TORCH})
find_library(C10_LIBRARY c10 PATH_SUFFIXES lib HINTS ${GRADUS_WHEEL_TORCH})
if(NOT TORCH_INCLUDE OR NOT TORCH_CPU_LIBRARY OR NOT C10_LIBRARY)
  message(FATAL_ERROR "libtorch was not found: run scripts/setup.sh, or give -DCMAKE_PREFIX_PATH=<libtorch>")
endif()
get_filename_component(TORCH_LIBRARY_DIR ${TORCH_CPU_LIBRARY} DIRECTORY)
add_library(gradus_torch INTERFACE)
target_include_directories(gradus_torch SYSTEM INTERFACE
  ${TORCH_INCLUDE} ${TORCH_INCLUDE}/torch/csrc/api/include)
target_compile_options(gradus_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
target_link_libraries(gradus_torch INTERFACE ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
target_link_options(gradus_torch INTERFACE -fopenmp -Wl,--allow-shlib-undefined)
