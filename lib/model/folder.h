// SPDX-License-Identifier: Apache-2.0
// Models on disk: Hugging Face folders, read strictly and written so that others read them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "model/formats/safetensors.h"
#include "model/transformer.h"

namespace gradus {

struct LoadOptions {
  std::optional<c10::ScalarType> dtype;  // of the computation; absent: as config.json says
  c10::Device device = c10::Device(c10::kCPU);
};

// What config.json says the weights are stored in; the CPU computes with float16 as bfloat16.
c10::ScalarType stored_dtype(const ModelConfig& config, const std::string& where);

// Reads config.json and the weights. All missing, unexpected and misshapen tensors are reported
// together; a tensor with NaN or infinity is refused by name. Quantised projections (the
// compressed-tensors format) stay quantised in memory.
Transformer load_model(const fs::path& folder, const LoadOptions& options);

// Writes config.json and the weights, in `dtype` or the model's own, into an existing folder (an
// AtomicFolder of the caller). Adapters must be merged or saved apart; a quantised model is
// refused.
void save_model(const fs::path& folder, const Transformer& model,
                std::optional<c10::ScalarType> dtype = {});

// Copies what is not weights from one model folder to another: tokenizer files, chat template and
// generation_config.json.
void copy_text_files(const fs::path& from, const fs::path& to);

// A contiguous CPU tensor as an entry for write_safetensors; the tensor must outlive the call.
TensorToWrite tensor_to_write(const std::string& name, const at::Tensor& tensor);
// Throws gradus::Error naming `where` when a float tensor holds NaN or infinity.
void check_finite(const at::Tensor& tensor, const std::string& where);
// A stored tensor as an at::Tensor over the mapped bytes (no copy where aligned); read-only.
at::Tensor view_of(const StoredTensor& stored, const std::string& where);

}  // namespace gradus
