// SPDX-License-Identifier: Apache-2.0
// Whether two configurations compute the same.
#pragma once

#include <string>

#include "model/config.h"

namespace gradus {

// What differs between them in plain words ("sliding window in layer 1: 8"), with the value of the
// first; "" if nothing does. How tensors are named and laid out does not matter.
std::string first_difference(const ModelConfig& a, const ModelConfig& b);

}  // namespace gradus
