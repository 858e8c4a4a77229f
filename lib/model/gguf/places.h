// SPDX-License-Identifier: Apache-2.0
// Where each tensor of a GGUF file belongs in a Hugging Face checkpoint, and the other way round.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "model/gguf/architecture.h"

namespace gradus {

// The rows of one tensor among those of another, in heads of `head` rows: `per` heads together,
// `stride` heads from one such group to the next, the first one at head `first`.
struct RowOrder {
  int64_t head = 1, per = 1, stride = 1, first = 0;
  bool interleaved = false;  // the file's heads have their two halves interleaved

  int64_t checkpoint_row(int64_t row) const;
};

// Consecutive rows of a file's tensor, which a tensor of the checkpoint holds in another order.
struct GgufSlice {
  std::string hf;
  std::vector<int64_t> hf_shape;
  int64_t begin = 0, rows = 0;  // in the file's tensor
  RowOrder order = {};
};

struct GgufPlace {
  std::string gguf;
  std::vector<int64_t> shape;  // in the file
  int64_t width = 1;           // of a row; 1 for vectors, whose entries may change their order
  std::vector<GgufSlice> slices = {};  // one after the other, all rows
  bool transposed = false;             // the checkpoint holds the matrix as [K, N]
  float shift = 0;                     // the file's values less the checkpoint's
  bool unused = false;  // llama.cpp wants it, filled with anything: no part of models
};

// All tensors of a model but those that scale its rotary embedding, in the order of llama.cpp's
// converter. Stacks of experts and of norms that `image` lacks have no slices, so that false counts
// cost nothing; nullptr: all have them.
std::vector<GgufPlace> gguf_places(const ModelConfig& config, const GgufArchitecture& architecture,
                                   const GgufImage* image);

// A tensor of the checkpoint and its parts in the file.
struct PlacedTensor {
  struct Part {
    const GgufPlace* place;
    const GgufSlice* slice;
    const GgufTensor* tensor;
  };
  std::string name;
  std::vector<int64_t> shape;
  std::vector<Part> parts;
};

// Every tensor of the file once. Throws listing what is missing, misshapen and left over. The
// places and the image must outlive the result.
std::vector<PlacedTensor> place_gguf_tensors(const GgufImage& image,
                                             const std::vector<GgufPlace>& places,
                                             const std::string& where);

}  // namespace gradus
