// SPDX-License-Identifier: Apache-2.0
// The non-linearities of feed-forward blocks.
#pragma once

namespace gradus {

enum class Activation {
  kSilu,
  kGelu,      // x · Φ(x)
  kGeluTanh,  // its tanh approximation
  kRelu,
  kReluSquared,
};

}  // namespace gradus
