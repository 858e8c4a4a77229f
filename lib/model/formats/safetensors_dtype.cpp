// SPDX-License-Identifier: Apache-2.0
#include "model/formats/safetensors_dtype.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "model/formats/safetensors.h"

namespace gradus {
namespace {

struct Dtype {
  const char* name;
  int64_t item_bytes;
};

constexpr Dtype kDtypes[] = {{"BOOL", 1},    {"U8", 1},      {"I8", 1},          {"F8_E5M2", 1},
                             {"F8_E4M3", 1}, {"F8_E8M0", 1}, {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1},
                             {"I16", 2},     {"U16", 2},     {"F16", 2},         {"BF16", 2},
                             {"I32", 4},     {"U32", 4},     {"F32", 4},         {"C64", 8},
                             {"F64", 8},     {"I64", 8},     {"U64", 8}};

}  // namespace

size_t safetensors_dtype_rank(const std::string& dtype, const std::string& where) {
  const auto found = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                  [&](const Dtype& entry) { return dtype == entry.name; });
  if (found != std::end(kDtypes)) return static_cast<size_t>(found - std::begin(kDtypes));
  throw Error({.what = "dtype is not supported",
               .where = where,
               .expected = "one such as F32, BF16, F16, I8, U8, I32, I64, F8_E4M3",
               .found = printable(dtype)});
}

int64_t safetensors_item_bytes(const std::string& dtype, const std::string& where) {
  return kDtypes[safetensors_dtype_rank(dtype, where)].item_bytes;
}

}  // namespace gradus
