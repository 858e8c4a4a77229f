# cmake -DROOT=… -DVERSION=… -DOUTPUT=… -P WriteVersion.cmake
# Writes OUTPUT with the program's version: VERSION and a hash of the names and contents of all
# sources of lib/ and apps/. It is a part of every cache key, so a program that may compute something
# else must have another one. An unchanged OUTPUT is not touched.
file(GLOB_RECURSE sources RELATIVE ${ROOT}
  ${ROOT}/lib/*.cpp ${ROOT}/lib/*.h ${ROOT}/lib/*.cu ${ROOT}/lib/*.cuh ${ROOT}/apps/*.cpp ${ROOT}/apps/*.h)
list(SORT sources)
set(list "")
foreach(source ${sources})
  file(SHA256 ${ROOT}/${source} digest)
  string(APPEND list "${digest}  ${source}\n")
endforeach()
string(SHA256 digest "${list}")
string(SUBSTRING ${digest} 0 12 digest)
set(text "inline constexpr const char* kGradusVersion = \"${VERSION}+${digest}\";\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT text STREQUAL "${before}")
  file(WRITE ${OUTPUT} "${text}")
endif()
