// SPDX-License-Identifier: Apache-2.0
// The fields of config.json that do not follow from one key of a GGUF file: they depend on which
// tensors there are, or llama.cpp has their values in its code.
#pragma once

#include "model/gguf/architecture.h"

namespace gradus {

void complete_attention_bias(const GgufSource& source, Json& config);
void complete_biases(const GgufSource& source, Json& config);
void complete_partial_rotary(const GgufSource& source, Json& config);
void complete_glm(const GgufSource& source, Json& config);
void complete_chatglm(const GgufSource& source, Json& config);
void complete_baichuan(const GgufSource& source, Json& config);
void complete_gemma2(const GgufSource& source, Json& config);
void complete_gemma3(const GgufSource& source, Json& config);
void complete_phi3(const GgufSource& source, Json& config);
void complete_falcon(const GgufSource& source, Json& config);
void complete_mpt(const GgufSource& source, Json& config);
void complete_stablelm(const GgufSource& source, Json& config);
void complete_cohere(const GgufSource& source, Json& config);
void complete_cohere2(const GgufSource& source, Json& config);
void complete_olmoe(const GgufSource& source, Json& config);
void complete_exaone4(const GgufSource& source, Json& config);
void complete_rwkv7(const GgufSource& source, Json& config);

}  // namespace gradus
