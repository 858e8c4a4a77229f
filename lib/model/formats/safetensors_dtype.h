// SPDX-License-Identifier: Apache-2.0
// The dtypes of the safetensors format in the reference implementation's order, which decides the
// order of the data that a writer lays out (widest first).
#pragma once

#include <cstddef>
#include <string>

namespace gradus {

// The dtype's rank in that order; throws naming `where` when it is unknown or sub-byte.
size_t safetensors_dtype_rank(const std::string& dtype, const std::string& where);

}  // namespace gradus
