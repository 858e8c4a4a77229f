// SPDX-License-Identifier: Apache-2.0
// The fields that both kinds of request share.
#pragma once

#include "serve/protocol/field_reader.h"
#include "serve/protocol/request.h"

namespace gradus {

// Everything in AnswerOptions but top_logprobs, and the fields that both refuse.
AnswerOptions read_answer_options(FieldReader& fields, const RequestLimits& limits);

}  // namespace gradus
